package kvm_test

import (
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
)

// TestSignalsInterruptNothing makes machines while signals rain on the thread,
// as those of the Go runtime may.
func TestSignalsInterruptNothing(t *testing.T) {
	sys := kvmtest.Open(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	self := unix.Gettid()
	var rain sync.WaitGroup
	stop := make(chan struct{})
	rain.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				unix.Tgkill(unix.Getpid(), self, unix.SIGURG)
			}
		}
	})
	for range 20 {
		vm, err := sys.CreateVM()
		if err != nil {
			t.Error(err)
			break
		}
		if err := vm.CreateIRQChip(); err != nil {
			t.Error(err)
		}
		if err := vm.Close(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	rain.Wait()
}
