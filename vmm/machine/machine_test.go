package machine

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/vcpu"
)

// TestStartAfterClose runs nothing: the vCPUs' memory is unmapped.
func TestStartAfterClose(t *testing.T) {
	m := &Machine{done: make(chan struct{})}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m.cpus = []*vcpu.CPU{nil} // to run it would be a panic
	m.Start()
	m.running.Wait()
	if m.End().Reason != Stopped {
		t.Errorf("it ended by %v", m.End().Reason)
	}
}
