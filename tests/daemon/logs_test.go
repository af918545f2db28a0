package daemon

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestLogsOverAnUpgrade: a daemon that ends is not the end of a sandbox, for who
// follows its log.
func TestLogsOverAnUpgrade(t *testing.T) {
	h := newHost(t, "")
	d := h.start()
	c := h.dial()
	spec := &bulkheadv1.SandboxSpec{Command: &bulkheadv1.Command{Args: []string{"sh", "-c", "echo begin; sleep 1000"}}}
	_, err := c.CreateSandbox(t.Context(), &bulkheadv1.CreateSandboxRequest{Name: "box", Spec: spec})
	h.must(err)
	_, err = c.StartSandbox(t.Context(), &bulkheadv1.StartSandboxRequest{Name: "box"})
	h.must(err)
	stream, err := c.Processes.GetLogs(t.Context(), &bulkheadv1.GetLogsRequest{Sandbox: "box", Follow: true})
	h.must(err)
	if m, err := stream.Recv(); err != nil || string(m.GetEntries()[0].GetData()) != "begin\n" {
		t.Fatalf("%v, %v", m, err)
	}
	d.stop()
	if m, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the daemon has ended, and the log with %v, %v", m, err)
	}
	d = h.start()
	h.clear(h.dial())
	d.stop()
}
