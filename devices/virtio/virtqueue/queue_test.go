package virtqueue_test

import (
	"errors"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

func newPair(t testing.TB, size uint16, change ...func(*virtqueue.Config)) (*vqtest.Driver, *virtqueue.Queue) {
	t.Helper()
	d := vqtest.New(t, vqtest.NewHeap(t, 1<<20), size)
	for _, c := range change {
		c(&d.Config)
	}
	q, err := virtqueue.New(d.Mem, d.Config)
	if err != nil {
		t.Fatal(err)
	}
	return d, q
}

func eventIdx(c *virtqueue.Config) { c.EventIdx = true }
func indirect(c *virtqueue.Config) { c.Indirect = true }

func TestRequestAndAnswer(t *testing.T) {
	d, q := newPair(t, 8)
	in := d.In(5)
	var c virtqueue.Chain
	for round := range 30 { // around the ring several times
		head := d.Add(d.Out([]byte("he")), d.Out([]byte("llo")), in, d.In(3))
		if ok, err := q.Pop(&c); !ok || err != nil {
			t.Fatalf("round %d: Pop = %v, %v", round, ok, err)
		}
		if c.Head != head || c.ReadLen() != 5 || c.WriteLen() != 8 {
			t.Fatalf("round %d: chain %d with %d readable, %d writable bytes", round, c.Head, c.ReadLen(), c.WriteLen())
		}
		got := make([]byte, 5)
		if n := c.Read(got); n != 5 || string(got) != "hello" {
			t.Errorf("read %d bytes: %q", n, got)
		}
		if n := c.Write([]byte("answers!")); n != 8 {
			t.Errorf("wrote %d bytes", n)
		}
		q.Push(c.Head, 8)
		q.Publish()
		if h, n, ok := d.Used(); !ok || h != head || n != 8 {
			t.Errorf("used: %d, %d, %v", h, n, ok)
		}
		if string(d.Bytes(in)) != "answe" {
			t.Errorf("driver reads %q", d.Bytes(in))
		}
	}
	if ok, err := q.Pop(&c); ok || err != nil {
		t.Errorf("Pop of an empty queue = %v, %v", ok, err)
	}
}

func TestIndirect(t *testing.T) {
	d, q := newPair(t, 4, indirect)
	d.AddIndirect(d.Out([]byte("ab")), d.Out([]byte("c")), d.In(4))
	var c virtqueue.Chain
	if ok, err := q.Pop(&c); !ok || err != nil {
		t.Fatalf("Pop = %v, %v", ok, err)
	}
	got := make([]byte, 8)
	if n := c.Read(got); string(got[:n]) != "abc" || c.WriteLen() != 4 {
		t.Errorf("chain reads %q, %d writable", got[:n], c.WriteLen())
	}
}

func TestPartialCopies(t *testing.T) {
	d, q := newPair(t, 8)
	d.Add(d.Out([]byte("abc")), d.Out([]byte("defg")), d.In(2), d.In(3))
	var c virtqueue.Chain
	if _, err := q.Pop(&c); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 3)
	if n := c.ReadAt(got, 2); n != 3 || string(got) != "cde" {
		t.Errorf("ReadAt(2) = %q", got[:n])
	}
	if n := c.ReadAt(got, 6); n != 1 || got[0] != 'g' {
		t.Errorf("ReadAt(6) = %q", got[:n])
	}
	if n := c.ReadAt(got, 7); n != 0 {
		t.Errorf("ReadAt(7) = %q", got[:n])
	}
	if n := c.WriteAt([]byte("xyz"), 1); n != 3 || string(c.Writable[0][1:])+string(c.Writable[1][:2]) != "xyz" {
		t.Errorf("WriteAt(1) wrote %d", n)
	}
	if n := c.WriteAt([]byte("xyz"), 4); n != 1 {
		t.Errorf("WriteAt(4) wrote %d", n)
	}
}

func TestUndo(t *testing.T) {
	d, q := newPair(t, 4)
	head := d.Add(d.In(1))
	var c virtqueue.Chain
	for range 2 {
		if ok, err := q.Pop(&c); !ok || err != nil || c.Head != head {
			t.Fatalf("Pop = %v, %v, head %d", ok, err, c.Head)
		}
		q.Undo()
	}
}

func TestInterruptFlag(t *testing.T) {
	d, q := newPair(t, 4)
	var c virtqueue.Chain
	push := func() bool {
		d.Add(d.In(1))
		if _, err := q.Pop(&c); err != nil {
			t.Fatal(err)
		}
		q.Push(c.Head, 1)
		interrupt := q.Publish()
		d.Used()
		return interrupt
	}
	if !push() {
		t.Error("no interrupt though the driver wants them")
	}
	d.SetAvailFlags(1)
	if push() {
		t.Error("interrupt though the driver doesn't want them")
	}
	if q.Publish() {
		t.Error("interrupt for nothing")
	}
}

func TestInterruptEvent(t *testing.T) {
	d, q := newPair(t, 8, eventIdx)
	var c virtqueue.Chain
	push := func(n int) bool {
		for range n {
			d.Add(d.In(1))
			if _, err := q.Pop(&c); err != nil {
				t.Fatal(err)
			}
			q.Push(c.Head, 1)
			d.Used()
		}
		return q.Publish()
	}
	d.SetUsedEvent(2) // tell me after the third
	if first, second := push(1), push(1); first || second {
		t.Error("interrupt before the third entry")
	}
	if !push(1) {
		t.Error("no interrupt after the third entry")
	}
	if push(1) {
		t.Error("interrupt after the fourth entry")
	}
	d.SetUsedEvent(5)
	if !push(4) {
		t.Error("no interrupt though a batch passed the entry asked for")
	}
}

func TestKicks(t *testing.T) {
	t.Run("flag", func(t *testing.T) {
		d, q := newPair(t, 4)
		q.DisableKicks()
		if d.UsedFlags() != 1 {
			t.Error("the driver isn't asked to keep quiet")
		}
		d.Add(d.In(1))
		if !q.EnableKicks() || d.UsedFlags() != 0 {
			t.Error("a chain that came in between went unnoticed")
		}
	})
	t.Run("event", func(t *testing.T) {
		d, q := newPair(t, 4, eventIdx)
		if q.EnableKicks() || d.AvailEvent() != 0 {
			t.Error("EnableKicks on an empty queue")
		}
		d.Add(d.In(1))
		var c virtqueue.Chain
		if _, err := q.Pop(&c); err != nil {
			t.Fatal(err)
		}
		if q.EnableKicks() || d.AvailEvent() != 1 {
			t.Errorf("the driver is asked to kick at %d, want 1", d.AvailEvent())
		}
	})
}

func TestNewRefuses(t *testing.T) {
	good := virtqueue.Config{Size: 8, Desc: 0x1000, Avail: 0x2000, Used: 0x3000}
	tests := []struct {
		name   string
		change func(*virtqueue.Config)
	}{
		{"size zero", func(c *virtqueue.Config) { c.Size = 0 }},
		{"size no power of two", func(c *virtqueue.Config) { c.Size = 12 }},
		{"size too large", func(c *virtqueue.Config) { c.Size = 65535 }},
		{"descriptors misaligned", func(c *virtqueue.Config) { c.Desc += 8 }},
		{"available ring misaligned", func(c *virtqueue.Config) { c.Avail++ }},
		{"used ring misaligned", func(c *virtqueue.Config) { c.Used += 2 }},
		{"descriptors outside RAM", func(c *virtqueue.Config) { c.Desc = 0xd000_0000 }},
		{"descriptors over the end", func(c *virtqueue.Config) { c.Desc = 0x10000 - 16 }},
		{"available ring wraps around", func(c *virtqueue.Config) { c.Avail = ^memory.GPA(1) }},
		{"used ring over the end", func(c *virtqueue.Config) { c.Used = 0x10000 - 4 }},
	}
	mem := memory.NewHeap(memory.Range{Size: 0x10000})
	if _, err := virtqueue.New(mem, good); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			tt.change(&c)
			_, err := virtqueue.New(mem, c)
			wantProtocolError(t, err)
		})
	}
}

func wantProtocolError(t *testing.T, err error) {
	t.Helper()
	if e := (*virtqueue.ProtocolError)(nil); !errors.As(err, &e) || e.Section == "" {
		t.Errorf("error is %v, want a ProtocolError with its section", err)
	}
}
