package vqtest

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// HeapIn returns a heap of the part r of guest memory that somebody else made:
// a machine's, say.
func HeapIn(t testing.TB, mem *memory.Memory, r memory.Range) *Heap {
	return &Heap{Mem: mem, next: r.Start, end: r.End(), t: t}
}
