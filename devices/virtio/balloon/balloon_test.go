package balloon_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/balloon"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

const (
	inflate, deflate, stats, reporting = 0, 1, 2, 3
	featureStats, featureReporting     = 1 << 1, 1 << 5
)

func start(t *testing.T) (*balloon.Device, *virtiotest.Harness) {
	t.Helper()
	d := balloon.New()
	return d, virtiotest.Start(t, d, virtiotest.Options{Features: featureStats | featureReporting, MaxQueueSize: 16})
}

// fill gives the test pages of guest memory with something in them.
func fill(h *virtiotest.Harness, pages int) vqtest.Buffer {
	b := vqtest.Buffer{GPA: h.Heap.Alloc(pages*4096, 4096), Len: uint32(pages * 4096), Writable: true}
	for i := range h.Heap.Bytes(b.GPA, pages*4096) {
		h.Heap.Bytes(b.GPA, pages*4096)[i] = 0xaa
	}
	return b
}

// kept says which pages of b still hold what fill put there.
func kept(t *testing.T, h *virtiotest.Harness, b vqtest.Buffer) (list []bool) {
	t.Helper()
	for page := h.Heap.Bytes(b.GPA, int(b.Len)); len(page) > 0; page = page[4096:] {
		switch {
		case bytes.Equal(page[:4096], bytes.Repeat([]byte{0xaa}, 4096)):
			list = append(list, true)
		case bytes.Equal(page[:4096], make([]byte, 4096)):
			list = append(list, false)
		default:
			t.Fatal("a page is there in part")
		}
	}
	return list
}

func numbers(first uint32, offsets ...uint32) (list []byte) {
	for _, o := range offsets {
		list = binary.LittleEndian.AppendUint32(list, first+o)
	}
	return list
}

func TestInflate(t *testing.T) {
	_, h := start(t)
	b := fill(h, 8)
	d := h.Queues[inflate]
	list := numbers(uint32(b.GPA/4096), 1, 2, 5, 4, 7)
	h.Do(inflate, d.Out(list[:8]), d.Out(list[8:]))
	want := []bool{true, false, false, true, false, false, true, false}
	for i, k := range kept(t, h, b) {
		if k != want[i] {
			t.Errorf("page %d kept: %v", i, k)
		}
	}
	h.Do(deflate, h.Queues[deflate].Out(list))
	if len(h.Failures()) > 0 {
		t.Errorf("failures: %v", h.Failures())
	}
}

func TestReporting(t *testing.T) {
	_, h := start(t)
	b := fill(h, 4)
	part := b
	part.GPA, part.Len = b.GPA+4096, 8192
	h.Do(reporting, part)
	want := []bool{true, false, false, true}
	for i, k := range kept(t, h, b) {
		if k != want[i] {
			t.Errorf("page %d kept: %v", i, k)
		}
	}
}

// TestLongList has more page numbers than are looked at in one go.
func TestLongList(t *testing.T) {
	_, h := start(t)
	b := fill(h, 600)
	var list []byte
	for i := range uint32(600) {
		list = append(list, numbers(uint32(b.GPA/4096), i)...)
	}
	h.Do(inflate, h.Queues[inflate].Out(list))
	for i, k := range kept(t, h, b) {
		if k {
			t.Fatalf("page %d was kept", i)
		}
	}
}

func TestTarget(t *testing.T) {
	d, h := start(t)
	d.SetTarget(10<<20 + 100)
	var space [8]byte
	d.ReadConfig(0, space[:])
	if n := binary.LittleEndian.Uint32(space[:]); n != 2560 || h.ConfigChanges() != 1 {
		t.Errorf("target of %d pages, told %d times", n, h.ConfigChanges())
	}
	d.WriteConfig(4, binary.LittleEndian.AppendUint32(nil, 256))
	d.WriteConfig(0, binary.LittleEndian.AppendUint32(nil, 1)) // not the driver's
	if d.Actual() != 1<<20 {
		t.Errorf("actual size %d", d.Actual())
	}
	h.Reset()
	if d.Actual() != 0 {
		t.Errorf("actual size %d after a reset", d.Actual())
	}
}

func TestStats(t *testing.T) {
	d, h := start(t)
	q := h.Queues[stats]
	put := func(pairs ...uint64) {
		var b []byte
		for i := 0; i < len(pairs); i += 2 {
			b = binary.LittleEndian.AppendUint16(b, uint16(pairs[i]))
			b = binary.LittleEndian.AppendUint64(b, pairs[i+1])
		}
		q.Add(q.Out(b))
		h.Kick(stats)
	}
	wait := func(free uint64) {
		t.Helper()
		for begin := time.Now(); d.Stats().Free != free; time.Sleep(time.Millisecond) {
			if time.Since(begin) > 10*time.Second {
				t.Fatalf("statistics %+v, want free %d", d.Stats(), free)
			}
		}
	}
	d.RefreshStats() // before there is anything to give back
	put(4, 1000, 5, 2000, 99, 3)
	wait(1000)
	if s := d.Stats(); s.Total != 2000 || s.At.IsZero() {
		t.Errorf("statistics %+v", s)
	}
	if _, _, ok := q.Used(); ok {
		t.Error("the buffer came back unasked")
	}
	d.RefreshStats()
	h.WaitUsed(stats)
	d.RefreshStats() // the guest has yet to answer
	put(4, 500)
	wait(500)
	put(4, 1)
	h.WaitFailure() // a second buffer
}

func TestMalformed(t *testing.T) {
	for name, list := range map[string][]byte{
		"half a number":   {1, 2},
		"outside RAM":     numbers(1<<20, 0),
		"past RAM's end":  numbers(4095, 0, 1),
		"the last number": numbers(1<<32-1, 0),
	} {
		t.Run(name, func(t *testing.T) {
			_, h := start(t)
			h.Queues[inflate].Add(h.Queues[inflate].Out(list))
			h.Kick(inflate)
			h.WaitFailure()
		})
	}
}
