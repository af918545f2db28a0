// Package kvmtest runs guests of a few machine instructions on the real KVM,
// one per behaviour under test.
package kvmtest

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// Open returns the host's KVM. Where there is no KVM device the test is
// skipped with a line that says so; a device that is there but can't be used
// fails it.
func Open(t testing.TB) *kvm.System {
	t.Helper()
	RequireDevice(t)
	s, err := kvm.Open("")
	if err != nil {
		t.Fatalf("KVM is here but unusable: %v", err)
	}
	t.Cleanup(func() { Must(t, s.Close()) })
	return s
}

// RequireDevice skips the test where there is no KVM device.
func RequireDevice(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(kvm.DefaultPath); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("NOT TESTED: this host has no %s, so no guest ran", kvm.DefaultPath)
	}
}

// Must fails the test on an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Pages returns n pages of zeroed memory that may back a memory slot.
func Pages(t testing.TB, n int) []byte {
	t.Helper()
	b, err := unix.Mmap(-1, 0, n*PageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	Must(t, err)
	t.Cleanup(func() { Must(t, unix.Munmap(b)) })
	return b
}

// PageSize is the size of an x86 page.
const PageSize = 4096
