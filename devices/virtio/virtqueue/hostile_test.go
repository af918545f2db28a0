package virtqueue_test

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

// TestHostileChains has a driver break every rule about chains. Each is caught
// by Pop; none may panic or go unnoticed.
func TestHostileChains(t *testing.T) {
	const (
		next, write, ind = vqtest.Next, vqtest.Write, vqtest.Indirect
		ok               = 0x4000  // in RAM
		table            = 0x80000 // an indirect table, zeroed
	)
	tests := []struct {
		name  string
		setup func(d *vqtest.Driver)
	}{
		{"head out of range", func(d *vqtest.Driver) { d.Publish(8) }},
		{"head far out of range", func(d *vqtest.Driver) { d.Publish(0xffff) }},
		{"loop of one", func(d *vqtest.Driver) { d.SetDesc(0, ok, 1, next, 0); d.Publish(0) }},
		{"loop of two", func(d *vqtest.Driver) {
			d.SetDesc(0, ok, 1, next, 1)
			d.SetDesc(1, ok, 1, next, 0)
			d.Publish(0)
		}},
		{"loop of empty buffers", func(d *vqtest.Driver) { d.SetDesc(0, ok, 0, next, 0); d.Publish(0) }},
		{"next out of range", func(d *vqtest.Driver) { d.SetDesc(0, ok, 1, next, 8); d.Publish(0) }},
		{"address outside RAM", func(d *vqtest.Driver) { d.SetDesc(0, 1<<40, 1, 0, 0); d.Publish(0) }},
		{"buffer over the end of RAM", func(d *vqtest.Driver) { d.SetDesc(0, 1<<20-1, 2, 0, 0); d.Publish(0) }},
		{"address wraps around", func(d *vqtest.Driver) { d.SetDesc(0, ^uint64(0), 2, write, 0); d.Publish(0) }},
		{"length of 4 GiB", func(d *vqtest.Driver) { d.SetDesc(0, 0, 0xffffffff, 0, 0); d.Publish(0) }},
		{"readable after writable", func(d *vqtest.Driver) {
			d.SetDesc(0, ok, 1, write|next, 1)
			d.SetDesc(1, ok, 1, 0, 0)
			d.Publish(0)
		}},
		{"indirect with next", func(d *vqtest.Driver) { d.SetDesc(0, table, 16, ind|next, 1); d.Publish(0) }},
		{"indirect table empty", func(d *vqtest.Driver) { d.SetDesc(0, table, 0, ind, 0); d.Publish(0) }},
		{"indirect table of half a descriptor", func(d *vqtest.Driver) { d.SetDesc(0, table, 24, ind, 0); d.Publish(0) }},
		{"indirect table outside RAM", func(d *vqtest.Driver) { d.SetDesc(0, 1<<40, 16, ind, 0); d.Publish(0) }},
		{"indirect table of 1 GiB", func(d *vqtest.Driver) { d.SetDesc(0, table, 1<<30, ind, 0); d.Publish(0) }},
		{"indirect inside indirect", func(d *vqtest.Driver) {
			d.SetDesc(0, table, 16, ind, 0)
			copyDesc(d, table, 0, table, 16, ind, 0)
			d.Publish(0)
		}},
		{"indirect inside indirect, later", func(d *vqtest.Driver) {
			d.SetDesc(0, table, 32, ind, 0)
			copyDesc(d, table, 0, ok, 1, next, 1)
			copyDesc(d, table, 1, table, 16, ind, 0)
			d.Publish(0)
		}},
		{"loop in an indirect table", func(d *vqtest.Driver) {
			d.SetDesc(0, table, 16, ind, 0)
			copyDesc(d, table, 0, ok, 1, next, 0)
			d.Publish(0)
		}},
		{"chain longer than the queue", func(d *vqtest.Driver) {
			d.SetDesc(0, table, 16*9, ind, 0)
			for i := range uint16(9) {
				copyDesc(d, table, int(i), ok, 1, next, i+1)
			}
			d.Publish(0)
		}},
		{"available index jumps ahead", func(d *vqtest.Driver) { d.SetAvailIndex(9) }},
		{"available index goes back", func(d *vqtest.Driver) { d.SetAvailIndex(0xffff) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, q := newPair(t, 8, indirect)
			tt.setup(d)
			var c virtqueue.Chain
			ok, err := q.Pop(&c)
			if ok {
				t.Errorf("Pop gave out a chain of %d and %d bytes", c.ReadLen(), c.WriteLen())
			}
			wantProtocolError(t, err)
		})
	}
}

func copyDesc(d *vqtest.Driver, table uint64, i int, addr uint64, n uint32, flags, next uint16) {
	saved := d.Config.Desc
	defer func() { d.Config.Desc = saved }()
	d.Config.Desc = 0
	d.SetDesc(uint16(table/16)+uint16(i), addr, n, flags, next)
}

func TestIndirectNotNegotiated(t *testing.T) {
	d, q := newPair(t, 8)
	d.AddIndirect(d.Out([]byte("x")))
	var c virtqueue.Chain
	_, err := q.Pop(&c)
	wantProtocolError(t, err)
}

// TestDirectThenIndirect is the mixed chain that section 2.7.5.3.2 obliges a
// device to take.
func TestDirectThenIndirect(t *testing.T) {
	d, q := newPair(t, 8, indirect)
	const table = 0x80000
	d.SetDesc(0, uint64(d.Out([]byte("direct ")).GPA), 7, vqtest.Next, 1)
	d.SetDesc(1, table, 16, vqtest.Indirect, 0)
	copyDesc(d, table, 0, uint64(d.Out([]byte("indirect")).GPA), 8, 0, 0)
	d.Publish(0)
	var c virtqueue.Chain
	if ok, err := q.Pop(&c); !ok || err != nil {
		t.Fatalf("Pop = %v, %v", ok, err)
	}
	got := make([]byte, 32)
	if n := c.Read(got); string(got[:n]) != "direct indirect" {
		t.Errorf("chain reads %q", got[:n])
	}
}

// FuzzPop lets a driver fill descriptors and rings with anything.
func FuzzPop(f *testing.F) {
	f.Add([]byte{0, 0x10, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0}, uint16(1))
	f.Add([]byte{0, 0, 8, 0, 0, 0, 0, 0, 32, 0, 0, 0, 4, 0, 0, 0}, uint16(2))
	f.Fuzz(func(t *testing.T, table []byte, avail uint16) {
		d, q := newPair(t, 8, indirect, eventIdx)
		b, err := d.Mem.Slice(d.Config.Desc, 128)
		if err != nil {
			t.Fatal(err)
		}
		copy(b, table)
		d.SetAvailIndex(avail)
		var c virtqueue.Chain
		for range 16 {
			ok, err := q.Pop(&c)
			if err != nil || !ok {
				return
			}
			if n := len(c.Readable) + len(c.Writable); n > q.Size() {
				t.Fatalf("chain of %d buffers in a queue of %d", n, q.Size())
			}
			q.Push(c.Head, 0)
			q.Publish()
		}
	})
}
