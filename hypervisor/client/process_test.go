package client_test

import (
	"io"
	"testing"
	"time"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestOneStream reads one of a command's streams, and not the other, on which there
// is nothing.
func TestOneStream(t *testing.T) {
	nodes, end := startNodes(map[string]uint64{"node": 512 << 20})
	defer end()
	c := nodes[0]
	if _, err := c.CreateSandbox(t.Context(), &bulkheadv1.CreateSandboxRequest{Name: "box"}); err != nil {
		t.Fatal(err)
	}
	defer c.DeleteSandbox(t.Context(), &bulkheadv1.DeleteSandboxRequest{Name: "box", Force: true})
	if _, err := c.StartSandbox(t.Context(), &bulkheadv1.StartSandboxRequest{Name: "box"}); err != nil {
		t.Fatal(err)
	}
	for script, want := range map[string]string{"echo out": "out\n", "echo err >&2": "err\n"} {
		p, err := c.Exec(t.Context(), "box", &bulkheadv1.Command{Args: []string{"sh", "-c", script}})
		if err != nil {
			t.Fatal(err)
		}
		read := p.Stdout
		if want == "err\n" {
			read = p.Stderr
		}
		line := make([]byte, len(want))
		if _, err := io.ReadFull(read, line); err != nil || string(line) != want {
			t.Errorf("%s: %q, %v", script, line, err)
		}
		select {
		case <-p.Done():
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: its end waits for somebody to read nothing", script)
		}
	}
}
