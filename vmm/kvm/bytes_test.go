package kvm_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

func TestBytes(t *testing.T) {
	t.Run("regs", testBytes[kvm.Regs])
	t.Run("sregs", testBytes[kvm.Sregs])
	t.Run("xcrs", testBytes[kvm.XCRs])
	t.Run("debugregs", testBytes[kvm.DebugRegs])
	t.Run("lapic", testBytes[kvm.LAPIC])
	t.Run("events", testBytes[kvm.VCPUEvents])
	t.Run("pit", testBytes[kvm.PIT])
}

// testBytes has noise, fields and reserved ones alike, come back as it was.
func testBytes[T kvm.ABI](t *testing.T) {
	var v, again T
	noise := kvm.Bytes(&v)
	for i := range noise {
		if noise[i] != 0 {
			t.Fatalf("byte %d of a zero value is %#x", i, noise[i])
		}
		noise[i] = byte(rand.Uint32())
	}
	if err := kvm.FromBytes(noise, &v); err != nil {
		t.Fatal(err)
	}
	if got := kvm.Bytes(&v); !bytes.Equal(got, noise) {
		t.Errorf("got % x, want % x", got, noise)
	}
	for _, b := range [][]byte{nil, noise[:len(noise)-1], append(noise, 0)} {
		var size *kvm.SizeError
		if err := kvm.FromBytes(b, &again); !errors.As(err, &size) || size.Got != len(b) || size.Want != len(noise) {
			t.Errorf("%d bytes for %d: %v", len(b), len(noise), err)
		}
	}
	var zero T
	if !bytes.Equal(kvm.Bytes(&again), kvm.Bytes(&zero)) {
		t.Error("bytes of the wrong length changed the structure")
	}
}

// TestBytesAreCopies writes to what Bytes returned.
func TestBytesAreCopies(t *testing.T) {
	r := kvm.Regs{RAX: 0x0102}
	b := kvm.Bytes(&r)
	if b[0] != 2 || b[1] != 1 {
		t.Errorf("RAX is first and little-endian, not % x", b[:8])
	}
	b[0] = 9
	if r.RAX != 0x0102 {
		t.Error("Bytes gave out the structure's own memory")
	}
}
