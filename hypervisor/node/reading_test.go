package node_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// savedWith saves a sandbox whose snapshot is read as a word says.
func (f *fixture) savedWith(word string) {
	f.t.Helper()
	f.start("box", &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: word}}, "sleep", "1000")
	f.save("box", "golden")
}

// TestSlowRead takes longer to read a snapshot than its guest has to go on.
func TestSlowRead(t *testing.T) {
	f := open(t)
	f.savedWith(workertest.WordSlowRead)
	f.create("clone", &bulkheadv1.SandboxSpec{Snapshot: "golden", BootTimeout: durationpb.New(3 * time.Second)})
	_, err := f.Start(t.Context(), "clone")
	f.must(err)
	f.exec("clone", "true")
}

// TestCallOffARead ends sandboxes whose snapshot is never read, and has the next node
// find one.
func TestCallOffARead(t *testing.T) {
	f := open(t)
	f.savedWith(workertest.WordHungRead)
	begun := func(name string) chan error {
		f.create(name, &bulkheadv1.SandboxSpec{Snapshot: "golden"})
		started := make(chan error, 1)
		go func() {
			_, err := f.Start(context.Background(), name)
			started <- err
		}()
		f.untilWorker(name)
		return started
	}
	for name, end := range map[string]func(string) error{
		"stop":   func(n string) error { _, err := f.Stop(t.Context(), n, node.DefaultGrace); return err },
		"kill":   func(n string) error { _, err := f.Kill(t.Context(), n); return err },
		"delete": func(n string) error { return f.Delete(t.Context(), n, "", true) },
	} {
		started := begun(name)
		began := time.Now()
		f.must(end(name))
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		if err := <-started; err == nil {
			t.Errorf("%s: started all the same", name)
		}
	}
	started := begun("kept")
	f.restart(nil)
	f.kindIs(<-started, fault.Unavailable, fault.ReasonClosing)
	f.until("kept", starting)
	f.must(f.Delete(t.Context(), "kept", "", true))
}
