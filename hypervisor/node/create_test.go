package node_test

import (
	"context"
	"syscall"
	"testing"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestCreateWhileDeleting asks for a sandbox like one that is on its way out: that
// one is no answer.
func TestCreateWhileDeleting(t *testing.T) {
	f := open(t)
	named := &bulkheadv1.CreateSandboxRequest{Name: "box", RequestId: "1"}
	nameless := &bulkheadv1.CreateSandboxRequest{RequestId: "2"}
	for _, r := range []*bulkheadv1.CreateSandboxRequest{named, nameless} {
		first, err := f.Create(r, "tester")
		f.must(err)
		name := first.GetName()
		_, err = f.Start(t.Context(), name)
		f.must(err)
		worker := f.workerOf(name).PID
		f.halt(worker)
		gone := make(chan error, 1)
		go func() { gone <- f.Delete(context.Background(), name, "", true) }()
		f.until(name, stopping)
		_, err = f.Create(r, "tester")
		f.kindIs(err, fault.Unavailable, fault.ReasonState)
		f.must(syscall.Kill(worker, syscall.SIGCONT))
		f.must(<-gone)
		second, err := f.Create(r, "tester")
		f.must(err)
		if second.GetUid() == first.GetUid() {
			t.Error("a sandbox that is gone is the answer")
		}
	}
}
