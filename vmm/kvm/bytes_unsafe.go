package kvm

import (
	"fmt"
	"slices"
	"unsafe"
)

// ABI is a structure that may leave this machine: what the kernel promises to
// lay out the same for ever, byte for byte.
type ABI interface {
	Regs | Sregs | XCRs | DebugRegs | LAPIC | VCPUEvents | PIT
}

// SizeError says that bytes are too few or too many to be what they should be.
type SizeError struct{ Got, Want int }

func (e *SizeError) Error() string { return fmt.Sprintf("%d bytes, want %d", e.Got, e.Want) }

// Bytes returns a copy of *v as the kernel has it, reserved fields included.
func Bytes[T ABI](v *T) []byte { return slices.Clone(view(v)) }

// FromBytes is the reverse of Bytes. Any content is some structure; b of another
// length fails with *SizeError, and *v stays as it was.
func FromBytes[T ABI](b []byte, v *T) error {
	dst := view(v)
	if len(b) != len(dst) {
		return &SizeError{len(b), len(dst)}
	}
	copy(dst, b)
	return nil
}

// view is the memory of *v. The structures of ABI have no pointers in them.
func view[T ABI](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}
