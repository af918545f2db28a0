package pager

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// BenchmarkPaging has the kernel touch each page of RAM whose file is in the page
// cache: as it is mapped, and as it is paged in.
func BenchmarkPaging(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "memory"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, testSize)
	for at := range page {
		page[at] = 1
	}
	if _, err := f.Write(page); err != nil {
		b.Fatal(err)
	}
	paged := func(c Config) func() (*memory.Memory, error) {
		c.Content = memory.FileContent(f, testSize)
		return func() (*memory.Memory, error) {
			return memory.NewPaged(testSize, c.Huge, func(r []memory.Region) (memory.Pager, error) { return Start(c, r) })
		}
	}
	for name, make := range map[string]func() (*memory.Memory, error){
		"mapped": func() (*memory.Memory, error) { return memory.FromFile(f, testSize) },
		"4K":     paged(Config{Around: pageSize}), "64K": paged(Config{}), "256K": paged(Config{Around: 256 << 10}), "huge": paged(Config{Huge: true}),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(testSize)
			for b.Loop() {
				touchAll(b, make)
			}
		})
	}
}

func touchAll(b *testing.B, make func() (*memory.Memory, error)) {
	m, err := make()
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	var in [1]byte
	for ram := m.Regions()[0].Bytes; len(ram) > 0; ram = ram[pageSize:] {
		if _, err := unix.Write(fds[1], ram[:1]); err != nil {
			b.Fatal(err)
		}
		if _, err := unix.Read(fds[0], in[:]); err != nil {
			b.Fatal(err)
		}
	}
}
