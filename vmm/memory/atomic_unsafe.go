package memory

import (
	"sync/atomic"
	"unsafe"
)

// The accessors below read and write little-endian fields of guest memory that
// the guest accesses at the same time. A load is never torn and nothing that
// follows it in program order is read before it; a store is seen only after
// everything before it. They panic if the field is not naturally aligned or
// not inside b, a slice of a Memory: check guest-supplied addresses first.
//
// Go has no 16-bit atomics, so a 16-bit field goes through the aligned 32-bit
// word around it.

// Load16 loads the 16-bit field at off.
func Load16(b []byte, off int) uint16 {
	word, shift := word16(b, off)
	return uint16(atomic.LoadUint32(word) >> shift)
}

// Store16 stores the 16-bit field at off and leaves its neighbour, which the
// guest may own, as the guest has it. It is a full barrier.
func Store16(b []byte, off int, v uint16) {
	word, shift := word16(b, off)
	for {
		old := atomic.LoadUint32(word)
		if atomic.CompareAndSwapUint32(word, old, old&^(0xffff<<shift)|uint32(v)<<shift) {
			return
		}
	}
}

// Load32 loads the 32-bit field at off.
func Load32(b []byte, off int) uint32 { return atomic.LoadUint32(word32(b, off)) }

// Store32 stores the 32-bit field at off. It is a full barrier.
func Store32(b []byte, off int, v uint32) { atomic.StoreUint32(word32(b, off), v) }

// Load64 loads the 64-bit field at off.
func Load64(b []byte, off int) uint64 {
	return atomic.LoadUint64((*uint64)(aligned(b[off:off+8], 8)))
}

// Store64 stores the 64-bit field at off. It is a full barrier.
func Store64(b []byte, off int, v uint64) {
	atomic.StoreUint64((*uint64)(aligned(b[off:off+8], 8)), v)
}

// word16 returns the aligned word around a field. It may start before b, but
// never outside the memory b was cut from, which starts on a page.
func word16(b []byte, off int) (word *uint32, shift uint) {
	p := aligned(b[off:off+2], 2)
	odd := uintptr(p) & 2
	return (*uint32)(unsafe.Add(p, -int(odd))), uint(odd) * 8
}

func word32(b []byte, off int) *uint32 {
	return (*uint32)(aligned(b[off:off+4], 4))
}

func aligned(b []byte, n uintptr) unsafe.Pointer {
	p := unsafe.Pointer(unsafe.SliceData(b))
	if uintptr(p)%n != 0 {
		panic("memory: misaligned field")
	}
	return p
}

// Or64 sets bits of the 64-bit field at off. It is a full barrier.
func Or64(b []byte, off int, bits uint64) {
	atomic.OrUint64((*uint64)(aligned(b[off:off+8], 8)), bits)
}
