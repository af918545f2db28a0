package hostile

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// kvmChains are the worst of the chains, as real guests make them; f is the
// direction that the queue's buffers have. Each ends with a device that asks
// for a reset.
var kvmChains = map[string]func(d *kvmDevice, q int, f uint16){
	"descriptor loop": func(d *kvmDevice, q int, f uint16) {
		at := uint64(d.heap.Alloc(64, 16))
		d.queues[q].SetDesc(0, at, 64, f|next, 1)
		d.queues[q].SetDesc(1, at, 64, f|next, 0)
		d.queues[q].Publish(0)
	},
	"index jumps":                    func(d *kvmDevice, q int, _ uint16) { d.queues[q].SetAvailIndex(0x8000) },
	"head outside the table":         func(d *kvmDevice, q int, _ uint16) { d.queues[q].Publish(queueSize) },
	"buffer outside RAM":             kvmBuffer(kvmEnd, 64),
	"buffer over the end of RAM":     kvmBuffer(kvmEnd-32, 64),
	"buffer in the hole":             kvmBuffer(kvmHole+0x1000, 64),
	"buffer across the hole":         kvmBuffer(kvmHole-32, kvmHigh-kvmHole+64),
	"buffer at the end of all":       kvmBuffer(^uint64(0)-31, 64),
	"buffer in the local APIC":       kvmBuffer(0xfee00000, 64),
	"buffer in KVM's own pages":      kvmBuffer(0xfffbd000, 64),
	"buffer in its own registers":    func(d *kvmDevice, q int, f uint16) { kvmBuffer(d.base, 64)(d, q, f) },
	"buffer in another's registers":  func(d *kvmDevice, q int, f uint16) { kvmBuffer(d.bystander.base, 64)(d, q, f) },
	"table in its own registers":     func(d *kvmDevice, q int, _ uint16) { kvmBuffer(d.base, 16)(d, q, indirect) },
	"table of tables, one of itself": kvmSelfTable,
}

func kvmBuffer(gpa, n uint64) func(*kvmDevice, int, uint16) {
	return func(d *kvmDevice, q int, f uint16) {
		d.queues[q].SetDesc(0, gpa, uint32(n), f, 0)
		d.queues[q].Publish(0)
	}
}

func kvmSelfTable(d *kvmDevice, q int, _ uint16) {
	at := d.heap.Alloc(16, 16)
	putDescriptor(d.heap.Bytes(at, 16), uint64(at), 16, indirect, 0)
	d.queues[q].SetDesc(0, uint64(at), 16, indirect, 0)
	d.queues[q].Publish(0)
}

func TestKVMChains(t *testing.T) {
	for where, x := range targets {
		for what, attack := range kvmChains {
			t.Run(where+"/"+what, func(t *testing.T) {
				s := newScene(t, devices[x.device](t), 1)
				attack(s.victim, x.queue, x.flags())
				s.victim.kick(x.queue)
				s.mustAskForReset()
			})
		}
	}
}

// kvmRings are places for a queue that are not RAM. There is no ROM among them:
// every memory slot of a machine is RAM that the guest may write, and a device
// reaches nothing else, so that "a used ring in ROM" is one outside RAM, in the
// places where a PC has its ROMs, registers and firmware.
var kvmRings = map[string]func(d *kvmDevice, c *virtqueue.Config){
	"used ring where a PC has its ROM":      func(_ *kvmDevice, c *virtqueue.Config) { c.Used = 0xffff0000 },
	"used ring in the hole":                 func(_ *kvmDevice, c *virtqueue.Config) { c.Used = memory.GPA(kvmHole) },
	"used ring in its own registers":        func(d *kvmDevice, c *virtqueue.Config) { c.Used = memory.GPA(d.base) },
	"used ring in the I/O APIC":             func(_ *kvmDevice, c *virtqueue.Config) { c.Used = 0xfec00000 },
	"used ring in KVM's own pages":          func(_ *kvmDevice, c *virtqueue.Config) { c.Used = 0xfffbc000 },
	"used ring behind RAM":                  func(_ *kvmDevice, c *virtqueue.Config) { c.Used = memory.GPA(kvmEnd) },
	"used ring, last byte behind RAM":       func(_ *kvmDevice, c *virtqueue.Config) { c.Used = memory.GPA(kvmEnd - 68) },
	"used ring, last byte in the hole":      func(_ *kvmDevice, c *virtqueue.Config) { c.Used = memory.GPA(kvmHole - 68) },
	"available ring in its own registers":   func(d *kvmDevice, c *virtqueue.Config) { c.Avail = memory.GPA(d.base) },
	"available ring, last byte behind RAM":  func(_ *kvmDevice, c *virtqueue.Config) { c.Avail = memory.GPA(kvmEnd - 20) },
	"descriptors in its own registers":      func(d *kvmDevice, c *virtqueue.Config) { c.Desc = memory.GPA(d.base) },
	"descriptors, the last one behind RAM":  func(_ *kvmDevice, c *virtqueue.Config) { c.Desc = memory.GPA(kvmEnd - 112) },
	"descriptors at the end of all":         func(_ *kvmDevice, c *virtqueue.Config) { c.Desc = ^memory.GPA(15) },
	"descriptors beyond what CPUs can name": func(_ *kvmDevice, c *virtqueue.Config) { c.Desc = 1 << 60 },
}

func TestKVMRings(t *testing.T) {
	for what, move := range kvmRings {
		t.Run(what, func(t *testing.T) {
			s := newScene(t, devices["blk"](t), 1)
			d := s.victim
			c := d.queues[0].Config
			move(d, &c)
			d.negotiate()
			d.place(0, c)
			d.set(regStatus, virtiotest.Running)
			s.mustAskForReset()
		})
	}
}

// TestKVMRingsAtTheEnd has queues end where RAM does, at the hole and at its
// end: they work.
func TestKVMRingsAtTheEnd(t *testing.T) {
	const desc, avail, used = 16 * queueSize, 4 + 2*queueSize + 2, 4 + 8*queueSize + 2
	for what, end := range map[string]memory.GPA{"hole": memory.GPA(kvmHole), "RAM": memory.GPA(kvmEnd)} {
		t.Run(what, func(t *testing.T) {
			s := newScene(t, devices["blk"](t), 1)
			for _, c := range []virtqueue.Config{
				{Size: queueSize, Desc: end - desc, Avail: end - 0x1000, Used: end - 0x2000},
				{Size: queueSize, Desc: end - 0x1000, Avail: end - avail, Used: end - 0x2000},
				{Size: queueSize, Desc: end - 0x1000, Avail: end - 0x2000, Used: (end - used) &^ 3},
			} {
				clear(s.heap.Bytes(end-0x3000, 0x3000))
				s.victim.negotiate()
				s.victim.queues[0].Config = c
				s.victim.place(0, c)
				s.victim.set(regStatus, virtiotest.Running)
				at := s.heap.Alloc(128, 16)
				s.victim.queues[0].SetDesc(0, uint64(at), 64, next, 1)
				s.victim.queues[0].SetDesc(1, uint64(at)+64, 64, write, 0)
				memory.Store16(s.heap.Bytes(c.Avail, 4), 2, 1) // head 0 is there already
				s.victim.kick(0)
				s.victim.cpu.Until(uint64(c.Used), 0xffff0000, 1<<16).Wait()
			}
			s.mustWork(0)
		})
	}
}

// TestKVMRingsOnEachOther has the parts of a queue share memory, with each other
// or with the registers' last page: whatever comes of it, it stays with the
// guest.
func TestKVMRingsOnEachOther(t *testing.T) {
	s := newScene(t, devices["blk"](t), 1)
	at := s.heap.Alloc(4096, 4096)
	s.victim.negotiate()
	s.victim.place(0, virtqueue.Config{Size: queueSize, Desc: at, Avail: at, Used: at})
	s.victim.set(regStatus, virtiotest.Running)
	for i := range uint64(64) {
		s.victim.cpu.Write(uint64(at)+4*(i%32), 4, i*0x10001)
		s.victim.kick(0)
	}
	s.victim.set(regStatus, 0)
	s.victim.get(regStatus) // the reset is over, and with it what came before
	if evidence := s.Evidence("victim"); len(evidence) > 1 {
		t.Errorf("a device that was to be reset went on: %v", evidence)
	}
	s.mustWork(0)
}
