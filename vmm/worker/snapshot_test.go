package worker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"
	"github.com/bulkhead-vm/bulkhead/vmm/timeline"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Where pageWriter's pages are, and how many.
const (
	writerBase  = 18 << 20
	writerPages = 2048
)

// pageWriter counts for ever, and writes the count to one page 64 times, then to the next
// one.
var pageWriter = []byte{
	0x48, 0xc7, 0xc3, 0x00, 0x00, 0x20, 0x01, // mov rbx, 18 MiB
	0x48, 0xff, 0xc0, // inc rax
	0x48, 0x89, 0xc1, // mov rcx, rax
	0x48, 0xc1, 0xe9, 0x06, // shr rcx, 6
	0x81, 0xe1, 0xff, 0x07, 0x00, 0x00, // and ecx, 2047
	0x48, 0xc1, 0xe1, 0x0c, // shl rcx, 12
	0x48, 0x89, 0x04, 0x0b, // mov [rbx+rcx], rax
	0xeb, 0xe6, // jmp to the inc
}

// counted returns how far pageWriter has come, and fails the test if one of its pages has
// what it never wrote there. The machine may run: a page is written at once.
func counted(t testing.TB, m *memory.Memory) (most uint64) {
	t.Helper()
	b, err := m.Slice(writerBase, writerPages*memory.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	for page := range uint64(writerPages) {
		n := memory.Load64(b, int(page*memory.PageSize))
		if n != 0 && n>>6%writerPages != page {
			t.Fatalf("page %d has %d", page, n)
		}
		most = max(most, n)
	}
	return most
}

// untilCounted waits until it has come farther.
func untilCounted(t testing.TB, w *Worker, by uint64) {
	t.Helper()
	from := counted(t, w.machine.Memory())
	for start := time.Now(); counted(t, w.machine.Memory()) < from+by; time.Sleep(time.Millisecond) {
		if time.Since(start) > 30*time.Second {
			t.Fatalf("the guest stands still at %d", from)
		}
	}
}

// saved makes a snapshot of a worker's machine.
func saved(t testing.TB, w *Worker, path string) (*vmmv1.SnapshotResponse, *snapshot.Manifest) {
	t.Helper()
	r, err := w.Snapshot(context.Background(), &vmmv1.SnapshotRequest{Path: path, Uid: filepath.Base(path)})
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := snapshot.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return r, m
}

// restore makes a worker whose machine goes on from a snapshot.
func restore(t testing.TB, path string) *Worker {
	t.Helper()
	w := New(Config{Log: slog.New(slog.DiscardHandler), Timeline: new(timeline.Timeline)})
	t.Cleanup(w.Close)
	if _, err := w.Create(context.Background(), &vmmv1.CreateRequest{Machine: &vmmv1.MachineConfig{}, Snapshot: path}); err != nil {
		t.Fatal(err)
	}
	return w
}

func done[R any](t testing.TB) func(R, error) {
	return func(_ R, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func start(t testing.TB, w *Worker) {
	done[*vmmv1.StartResponse](t)(w.Start(context.Background(), nil))
}
func pause(t testing.TB, w *Worker) {
	done[*vmmv1.PauseResponse](t)(w.Pause(context.Background(), nil))
}
func resume(t testing.TB, w *Worker) {
	done[*vmmv1.ResumeResponse](t)(w.Resume(context.Background(), nil))
}

// same compares memories page by page.
func same(t testing.TB, what string, a, b *memory.Memory) {
	t.Helper()
	for i, r := range a.Regions() {
		other := b.Regions()[i].Bytes
		for at := 0; at < len(r.Bytes); at += memory.PageSize {
			if !bytes.Equal(r.Bytes[at:at+memory.PageSize], other[at:at+memory.PageSize]) {
				t.Fatalf("%s: page %#x differs: %d and %d", what, at, binary.LittleEndian.Uint64(r.Bytes[at:]), binary.LittleEndian.Uint64(other[at:]))
			}
		}
	}
}

// TestDifferentialSnapshots saves a guest that writes, lets it write more, and saves it
// again: its copies have the same memory, page by page, and all go on.
func TestDifferentialSnapshots(t *testing.T) {
	dir := t.TempDir()
	w := createWith(t, pageWriter, &vmmv1.MachineConfig{MemoryBytes: 32 << 20, Balloon: true})
	start(t, w)
	untilCounted(t, w, 64*300)
	pause(t, w)
	r, m := saved(t, w, filepath.Join(dir, "first"))
	if m.Layers != 1 || m.Parent != nil || r.GetStoredBytes() < 300*memory.PageSize {
		t.Errorf("the first: %+v, %v", m, r)
	}
	first := r.GetStoredBytes()
	resume(t, w)
	untilCounted(t, w, 64*50)
	pause(t, w)
	r, m = saved(t, w, filepath.Join(dir, "second"))
	if m.Layers != 2 || m.Parent.UID != "first" || r.GetStoredBytes() < 50*memory.PageSize || r.GetStoredBytes() == first {
		t.Errorf("the second: %+v, %v", m, r)
	}
	if err := snapshot.RemoveAll(filepath.Join(dir, "first")); err != nil {
		t.Fatal(err)
	}
	other := restoreWith(t, filepath.Join(dir, "second"))
	same(t, "restored", w.machine.Memory(), other.machine.Memory())
	start(t, other)
	untilCounted(t, other, 64*20)
	_, m = saved(t, other, filepath.Join(dir, "third")) // while it runs
	if m.Layers != 3 || m.Parent.UID != "second" {
		t.Errorf("the third: %+v", m)
	}
	untilCounted(t, other, 64*20)
	third := restoreWith(t, filepath.Join(dir, "third"))
	counted(t, third.machine.Memory())
	start(t, third)
	untilCounted(t, third, 64*20)
	same(t, "the saved one", w.machine.Memory(), restoreWith(t, filepath.Join(dir, "second")).machine.Memory())
	resume(t, w)
	untilCounted(t, w, 64*500)
}

// restoreWith is restore for a machine with a balloon.
func restoreWith(t *testing.T, path string) *Worker {
	t.Helper()
	w := New(Config{Log: slog.New(slog.DiscardHandler), Timeline: new(timeline.Timeline)})
	t.Cleanup(w.Close)
	if _, err := w.Create(context.Background(), &vmmv1.CreateRequest{Machine: &vmmv1.MachineConfig{Balloon: true}, Snapshot: path}); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestSnapshotsWhileRunning saves a guest again and again while it writes.
func TestSnapshotsWhileRunning(t *testing.T) {
	dir := t.TempDir()
	w := createWith(t, pageWriter, &vmmv1.MachineConfig{MemoryBytes: 32 << 20})
	start(t, w)
	for i := range 10 {
		untilCounted(t, w, 64*30)
		path := filepath.Join(dir, fmt.Sprint(i))
		saved(t, w, path)
		copied := restore(t, path)
		if n := counted(t, copied.machine.Memory()); n == 0 {
			t.Error("it has counted nothing")
		}
		start(t, copied)
		untilCounted(t, copied, 64)
		if i%4 == 3 {
			w = copied
		} else {
			copied.Close()
		}
	}
}

// BenchmarkPause is how long a guest of 512 MiB stands still for a snapshot after so
// much was written, in pages that are apart. "whole" is the first one, of all of it.
// TestForgedCPUs: who is told of one CPU, and counts it, doesn't get a machine with more.
func TestForgedCPUs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	w := createWith(t, pageWriter, &vmmv1.MachineConfig{MemoryBytes: 32 << 20, Cpus: 2})
	start(t, w)
	saved(t, w, dir)
	path := filepath.Join(dir, snapshot.ManifestName)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	after := bytes.Replace(before, []byte(`"cpus": 2`), []byte(`"cpus": 1`), 1)
	sums, err := os.ReadFile(filepath.Join(dir, snapshot.SumsName))
	if err != nil {
		t.Fatal(err)
	}
	sums = bytes.Replace(sums, fmt.Appendf(nil, "%x", sha256.Sum256(before)), fmt.Appendf(nil, "%x", sha256.Sum256(after)), 1)
	if err := errors.Join(os.WriteFile(path, after, 0o600), os.WriteFile(filepath.Join(dir, snapshot.SumsName), sums, 0o600)); err != nil {
		t.Fatal(err)
	}
	other := New(Config{Log: slog.New(slog.DiscardHandler), Timeline: new(timeline.Timeline)})
	t.Cleanup(other.Close)
	_, err = other.Create(context.Background(), &vmmv1.CreateRequest{Machine: &vmmv1.MachineConfig{Cpus: 1}, Snapshot: dir})
	if err == nil || !strings.Contains(err.Error(), "its state has 2") {
		t.Errorf("it is made: %v", err)
	}
}

func BenchmarkPause(b *testing.B) {
	const size = 512 << 20
	for _, dirty := range []int{0, 1 << 20, 16 << 20, 64 << 20, -1} {
		name := fmt.Sprintf("dirty=%dMiB", dirty>>20)
		if dirty < 0 {
			name = "whole"
		}
		b.Run(name, func(b *testing.B) {
			var stood, stored uint64
			for i := 0; b.Loop(); i++ {
				w, ram := filled(b, size)
				r, _ := saved(b, w, filepath.Join(b.TempDir(), "first"))
				if dirty >= 0 {
					for at := 0; at < dirty; at += memory.PageSize {
						ram[2*at] = byte(i + 1)
					}
					r, _ = saved(b, w, filepath.Join(b.TempDir(), "second"))
				}
				stood, stored = stood+r.GetPauseNs(), stored+r.GetStoredBytes()
				w.Close()
			}
			b.ReportMetric(float64(stood)/float64(b.N)/1e6, "pause-ms")
			b.ReportMetric(float64(stored)/float64(b.N)/(1<<20), "stored-MiB")
		})
	}
}

// filled returns a worker with a machine that stands still and whose memory is half
// full.
func filled(b *testing.B, size uint64) (*Worker, []byte) {
	w := createWith(b, []byte{0xf4}, &vmmv1.MachineConfig{MemoryBytes: size})
	start(b, w)
	pause(b, w)
	ram := w.machine.Memory().Regions()[0].Bytes
	for at := 0; at < len(ram)/2; at += memory.PageSize {
		ram[at+8] = 1
	}
	return w, ram
}
