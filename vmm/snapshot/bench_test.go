package snapshot

import (
	"path/filepath"
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// BenchmarkOpen opens a snapshot that was verified before.
func BenchmarkOpen(b *testing.B) {
	m, err := memory.New(128 << 20)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	dir := filepath.Join(b.TempDir(), "snap")
	w, err := Create(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Discard()
	if err := w.Memory(b.Context(), m); err != nil {
		b.Fatal(err)
	}
	if err := w.Publish(Manifest{MemoryBytes: 128 << 20}, state()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
