package blk_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/backend/file"
	"github.com/bulkhead-vm/bulkhead/devices/iovec"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk/blktest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

// benchSize is the disk of benchmarks, larger than what a processor caches
// next to its cores.
const benchSize = 16 << 20

// transfer is one request of a benchmark: some bytes of the disk, and the
// buffers for them.
type transfer struct {
	off  int64
	bufs [][]byte
}

// load is a disk with requests for all of it prepared, each with a buffer for
// every page, up to 16.
type load struct {
	*virtiotest.Harness
	heads     []uint16
	status    []vqtest.Buffer
	transfers []transfer
}

func newLoad(b *testing.B, backend blk.Backend, kind uint32, size int) *load {
	b.Helper()
	dev, err := blk.New(blk.Config{Backend: backend})
	if err != nil {
		b.Fatal(err)
	}
	l := &load{Harness: virtiotest.Start(b, dev, virtiotest.Options{Features: featureFlush, Memory: benchSize + 1<<20})}
	d := l.Queues[0]
	for off := range min(128, benchSize/max(size, 1)) {
		off *= size
		buffers := []vqtest.Buffer{d.Out(header(kind, uint64(off/512)))}
		t := transfer{off: int64(off)}
		for part := max(4096, size/16); len(t.bufs)*part < size; {
			data := d.In(part)
			data.Writable = kind == in
			buffers = append(buffers, data)
			t.bufs = append(t.bufs, d.Bytes(data))
		}
		status := d.In(1)
		l.heads = append(l.heads, d.PrepareIndirect(append(buffers, status)...))
		l.status, l.transfers = append(l.status, status), append(l.transfers, t)
	}
	return l
}

// bench has the device serve the requests, so many at a time.
func (l *load) bench(b *testing.B, together, size int) {
	virtiotest.Bench(b, together, size, func() { l.Round(0, l.heads[:together]) })
	for i, s := range l.status[:together] {
		if l.Queues[0].Bytes(s)[0] != ok {
			b.Fatalf("status %d of request %d", l.Queues[0].Bytes(s)[0], i)
		}
	}
}

// each has do carry out the requests without a device.
func (l *load) each(b *testing.B, size int, do func(t transfer)) {
	virtiotest.Bench(b, len(l.transfers), size, func() {
		for _, t := range l.transfers {
			do(t)
		}
	})
}

var benchSizes = []struct {
	name string
	n    int
}{{"4KiB", 4 << 10}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}}

// BenchmarkMemory moves data between guest and a disk in memory: what the
// device itself adds to the copying.
func BenchmarkMemory(b *testing.B) {
	for _, kind := range []uint32{in, out} {
		for _, size := range benchSizes {
			disk := blktest.New(benchSize)
			l := newLoad(b, blktest.Prompt{Disk: disk}, kind, size.n)
			name := map[uint32]string{in: "read", out: "write"}[kind] + "/" + size.name
			b.Run(name+"/device", func(b *testing.B) { l.bench(b, len(l.heads), size.n) })
			b.Run(name+"/copy", func(b *testing.B) { l.each(b, size.n, func(t transfer) { t.copy(kind, disk.Bytes) }) })
		}
	}
}

func (t transfer) copy(kind uint32, disk []byte) {
	for _, buf := range t.bufs {
		if kind == in {
			t.off += int64(copy(buf, disk[t.off:]))
		} else {
			t.off += int64(copy(disk[t.off:], buf))
		}
	}
}

// BenchmarkFile moves data between guest and the page cache.
func BenchmarkFile(b *testing.B) {
	path := filepath.Join(b.TempDir(), "disk")
	image := blktest.New(benchSize).Bytes
	if err := os.WriteFile(path, image, 0o600); err != nil {
		b.Fatal(err)
	}
	backend, err := file.Open(path, file.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer backend.Close()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for _, kind := range []uint32{in, out} {
		for _, size := range benchSizes {
			l := newLoad(b, backend, kind, size.n)
			name, call := "read", iovec.Preadv
			if kind == out {
				name, call = "write", iovec.Pwritev
			}
			name += "/" + size.name
			b.Run(name+"/device", func(b *testing.B) { l.bench(b, len(l.heads), size.n) })
			b.Run(name+"/system call", func(b *testing.B) {
				l.each(b, size.n, func(t transfer) { call(int(f.Fd()), t.bufs, t.off) })
			})
			b.Run(name+"/copy", func(b *testing.B) { l.each(b, size.n, func(t transfer) { t.copy(kind, image) }) })
		}
	}
}

// BenchmarkFlush flushes a disk that has nothing to write, one or 128 at a time.
// They go through lanes, as all do that wait for a disk.
func BenchmarkFlush(b *testing.B) {
	l := newLoad(b, blktest.New(benchSize), flush, 0)
	for _, together := range []int{1, len(l.heads)} {
		b.Run(fmt.Sprintf("%d together/device", together), func(b *testing.B) { l.bench(b, together, 0) })
	}
}

// BenchmarkLanes reads from a disk in memory that always waits.
func BenchmarkLanes(b *testing.B) {
	l := newLoad(b, blktest.New(benchSize), in, 4096)
	for _, together := range []int{1, len(l.heads)} {
		b.Run(fmt.Sprintf("%d together/device", together), func(b *testing.B) { l.bench(b, together, 4096) })
	}
}

// BenchmarkAlone makes one request at a time: two threads that wake each other
// up, beside what a request costs.
func BenchmarkAlone(b *testing.B) {
	l := newLoad(b, blktest.Prompt{Disk: blktest.New(benchSize)}, in, 4096)
	b.Run("read/4KiB/device", func(b *testing.B) { l.bench(b, 1, 4096) })
}
