package worker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/boot/boottest"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
	"github.com/bulkhead-vm/bulkhead/vmm/timeline"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// The adder's memory: it waits for the flag, adds up the first word of each page,
// leaves the sum so far in the second, and writes the last one to the serial port.
const (
	flagGPA  = 0xff_0000
	wordsGPA = 0x110_0000
	words    = 2048
)

var adder = []byte{
	0x80, 0x3c, 0x25, 0x00, 0x00, 0xff, 0x00, 0x00, // cmp byte [flagGPA], 0
	0x74, 0xf6, // je to the cmp
	0xbe, 0x00, 0x00, 0x10, 0x01, // mov esi, wordsGPA
	0x31, 0xc0, // xor eax, eax
	0xb9, 0x00, 0x08, 0x00, 0x00, // mov ecx, words
	0x48, 0x03, 0x06, // add rax, [rsi]
	0x48, 0x89, 0x46, 0x08, // mov [rsi+8], rax
	0x48, 0x81, 0xc6, 0x00, 0x10, 0x00, 0x00, // add rsi, 4096
	0xff, 0xc9, // dec ecx
	0x75, 0xee, // jnz to the add
	0x66, 0xba, 0xf8, 0x03, // mov dx, 0x3f8
	0xb9, 0x08, 0x00, 0x00, 0x00, // mov ecx, 8
	0xee,                   // out dx, al
	0x48, 0xc1, 0xe8, 0x08, // shr rax, 8
	0xff, 0xc9, // dec ecx
	0x75, 0xf7, // jnz to the out
	0x66, 0xba, 0x00, 0x06, 0xb0, 0x34, 0xee, // out 0x600, 0x34: power off
	0xf4, 0xeb, 0xfd, // hlt; jmp to the hlt
}

// output is what a guest writes.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// newWorker returns one that ends with the test.
func newWorker(t *testing.T, out io.Writer, log io.Writer) *Worker {
	t.Helper()
	kvmtest.RequireDevice(t)
	w := New(Config{Console: out, Log: slog.New(slog.NewTextHandler(log, nil)), Timeline: new(timeline.Timeline)})
	t.Cleanup(w.Close)
	return w
}

// saveAdder returns a snapshot of a guest that waits, and what its sum will be.
func saveAdder(t *testing.T) (dir string, sum uint64) {
	t.Helper()
	kernel := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(kernel, boottest.ELF{Code: adder}.Marshal(), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorker(t, nil, io.Discard)
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "snapshot")
	_, err := w.Create(ctx, &vmmv1.CreateRequest{Machine: &vmmv1.MachineConfig{Kernel: kernel, MemoryBytes: 34 << 20}})
	for i := range uint64(words) {
		if i%5 == 0 || err != nil {
			continue // zeroes, which the file doesn't have
		}
		sum += i * 0x1234567
		err = w.machine.Memory().WriteAt(binary.LittleEndian.AppendUint64(nil, i*0x1234567), memory.GPA(wordsGPA+i*memory.PageSize))
	}
	if err == nil {
		_, err = w.Start(ctx, &vmmv1.StartRequest{})
	}
	if err == nil {
		_, err = w.Snapshot(ctx, &vmmv1.SnapshotRequest{Path: dir})
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, sum
}

// waysOfMemory are all that there are.
func waysOfMemory() map[string]*vmmv1.MemoryOptions {
	const paged = vmmv1.MemoryBacking_MEMORY_BACKING_PAGED
	return map[string]*vmmv1.MemoryOptions{
		"mapped":            nil,
		"not prefetched":    {Prefetch: vmmv1.Prefetch_PREFETCH_OFF},
		"paged":             {Backing: paged},
		"paged, huge pages": {Backing: paged, HugePages: true},
	}
}

// TestWaysOfMemory has a guest go on by each way there is, first and with what was
// written down by another, is saved again, and goes on from that: it always finds what
// was saved.
func TestWaysOfMemory(t *testing.T) {
	for name, o := range waysOfMemory() {
		t.Run(name, func(t *testing.T) {
			dir, sum := saveAdder(t)
			again := filepath.Join(t.TempDir(), "again")
			w := goOn(t, dir, o, io.Discard, io.Discard)
			if _, err := w.Snapshot(t.Context(), &vmmv1.SnapshotRequest{Path: again}); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				wantSum(t, dir, o, sum)
				recordTouched(t, dir, o)
			}
			wantSum(t, again, o, sum)
		})
	}
}

// goOn starts a machine that goes on from a snapshot.
func goOn(t *testing.T, dir string, o *vmmv1.MemoryOptions, out, log io.Writer) *Worker {
	t.Helper()
	w := newWorker(t, out, log)
	if _, err := w.Create(t.Context(), &vmmv1.CreateRequest{Snapshot: dir, Memory: o}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Start(t.Context(), &vmmv1.StartRequest{}); err != nil {
		t.Fatal(err)
	}
	return w
}

// wantSum has one add up.
func wantSum(t *testing.T, dir string, o *vmmv1.MemoryOptions, sum uint64) {
	t.Helper()
	out := new(output)
	w := goOn(t, dir, o, out, io.Discard)
	if err := w.machine.Memory().WriteAt([]byte{1}, flagGPA); err != nil {
		t.Fatal(err)
	}
	end, err := w.Wait(t.Context(), &vmmv1.WaitRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if want := binary.LittleEndian.AppendUint64(nil, sum); end.GetReason() != vmmv1.EndReason_END_REASON_POWER_OFF || !bytes.Equal(out.b.Bytes(), want) {
		t.Errorf("%v (%s), sum %x, want %x", end.GetReason(), end.GetMessage(), out.b.Bytes(), want)
	}
}

// recordTouched has what one touches written down, unless nothing is to be.
func recordTouched(t *testing.T, dir string, o *vmmv1.MemoryOptions) {
	t.Helper()
	w := goOn(t, dir, o, io.Discard, io.Discard)
	if _, err := w.ConnectNetworks(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if o.GetPrefetch() == vmmv1.Prefetch_PREFETCH_OFF {
		return
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "workingset")); err == nil {
			return
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("what the guest touches isn't written down")
		}
	}
}

// TestWorkingSetIsUsed sees that one that is garbage is told of, and made anew.
func TestWorkingSetIsUsed(t *testing.T) {
	dir, _ := saveAdder(t)
	path := filepath.Join(dir, "workingset")
	if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := new(output)
	w := goOn(t, dir, nil, io.Discard, log)
	if !strings.Contains(log.b.String(), "nothing is prefetched") {
		t.Errorf("the log says %q", log.b.String())
	}
	if _, err := w.ConnectNetworks(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if b, err := os.ReadFile(path); err == nil && !bytes.Equal(b, []byte("garbage")) {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatal("it is still garbage")
		}
	}
	w = goOn(t, dir, nil, io.Discard, io.Discard)
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		if steps := fmt.Sprint(w.config.Timeline.Steps()); strings.Contains(steps, "working set prefetched") {
			return
		} else if time.Since(began) > 20*time.Second {
			t.Fatalf("nothing was prefetched: %v", steps)
		}
	}
}

// TestWorkingSetOfSaved has nothing be written down by one that was saved: of what it touched
// before, nobody knows.
func TestWorkingSetOfSaved(t *testing.T) {
	dir, _ := saveAdder(t)
	w := restore(t, dir)
	start(t, w)
	saved(t, w, filepath.Join(t.TempDir(), "next"))
	if _, err := w.ConnectNetworks(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	w.touched.done.Wait()
	if _, err := os.Stat(filepath.Join(dir, "workingset")); !os.IsNotExist(err) {
		t.Errorf("a part of it was written down: %v", err)
	}
}

// TestSnapshotGone has the file go that a guest's memory is paged in from: the
// machine ends and says why.
func TestSnapshotGone(t *testing.T) {
	dir, _ := saveAdder(t)
	w := newWorker(t, nil, io.Discard)
	o := &vmmv1.MemoryOptions{Backing: vmmv1.MemoryBacking_MEMORY_BACKING_PAGED}
	if _, err := w.Create(t.Context(), &vmmv1.CreateRequest{Snapshot: dir, Memory: o}); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "memory"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Start(t.Context(), &vmmv1.StartRequest{}); err != nil {
		t.Fatal(err)
	}
	end, err := w.Wait(t.Context(), &vmmv1.WaitRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if end.GetReason() != vmmv1.EndReason_END_REASON_HOST_ERROR || !strings.Contains(end.GetMessage(), "guest RAM") {
		t.Errorf("%v: %s", end.GetReason(), end.GetMessage())
	}
}

// TestMemoryThatCantBe refuses what makes no sense.
func TestMemoryThatCantBe(t *testing.T) {
	dir, _ := saveAdder(t)
	for name, o := range map[string]*vmmv1.MemoryOptions{
		"huge and mapped":  {HugePages: true},
		"no such backing":  {Backing: 7},
		"no such prefetch": {Prefetch: -1},
	} {
		w := newWorker(t, nil, io.Discard)
		_, err := w.Create(t.Context(), &vmmv1.CreateRequest{Snapshot: dir, Memory: o})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}
