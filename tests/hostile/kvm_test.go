package hostile

import (
	"errors"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/rng"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
	"github.com/bulkhead-vm/bulkhead/tests/tinyguest"
	"github.com/bulkhead-vm/bulkhead/vmm/machine"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// A real guest's memory: RAM up to the hole below 4 GiB, and 64 MiB above it.
const (
	kvmRAM     = uint64(memory.HoleStart) + kvmHighRAM
	kvmHighRAM = 64 << 20
	kvmHole    = uint64(memory.HoleStart)
	kvmHigh    = uint64(memory.HoleEnd)
	kvmEnd     = kvmHigh + kvmHighRAM
)

// scene is a real machine with a device that a guest does its worst to, and
// another, which must not notice.
type scene struct {
	*tinyguest.Guest
	t                 testing.TB
	heap              *vqtest.Heap
	victim, bystander *kvmDevice
}

func newScene(t testing.TB, dev virtio.Device, cpus int) *scene {
	t.Helper()
	s := &scene{t: t}
	other := rng.New(rng.Config{})
	s.Guest = tinyguest.New(t, tinyguest.Options{Memory: kvmRAM, CPUs: cpus, Devices: []machine.Device{
		{Name: "victim", Device: dev}, {Name: "bystander", Device: other},
	}})
	s.heap = vqtest.HeapIn(t, s.Memory, memory.Range{Start: tinyguest.FreeGPA, Size: 256 << 20})
	slots := s.Slots()
	s.victim = &kvmDevice{scene: s, cpu: s.CPU, base: slots[0], dev: dev}
	s.bystander = &kvmDevice{scene: s, cpu: s.CPU, base: slots[1], dev: other}
	s.victim.start()
	s.bystander.start()
	return s
}

// mustAskForReset checks that the guest sees its device ask for a reset, that
// the host has heard once and why, whatever else the guest does wrong meanwhile,
// that the other device works, and the first one as well after the reset.
func (s *scene) mustAskForReset() {
	s.t.Helper()
	s.victim.cpu.Until(s.victim.base+regStatus, virtiotest.NeedsReset, virtiotest.NeedsReset).Wait()
	s.victim.cpu.Write(s.victim.base+regQueueSize, 2, 0xffff)
	s.victim.set(regQueueSize, queueSize)
	s.mustWork(1)
}

// mustWork checks what mustAskForReset does of a device that need not ask, with
// so many breaches reported.
func (s *scene) mustWork(breaches int) {
	s.t.Helper()
	s.bystander.serve()
	s.victim.start()
	s.victim.serve()
	var evidence []error
	for start := time.Now(); len(evidence) < breaches && time.Since(start) < 10*time.Second; time.Sleep(time.Millisecond) {
		evidence = append(evidence, s.Evidence("victim")...)
	}
	evidence = append(evidence, s.Evidence("victim")...)
	if len(evidence) != breaches {
		s.t.Errorf("%d breaches were reported, want %d: %v", len(evidence), breaches, evidence)
	}
	for _, err := range evidence {
		if e := (*virtqueue.ProtocolError)(nil); !errors.As(err, &e) {
			s.t.Errorf("evidence %v is no breach of the specification", err)
		}
	}
	if evidence := s.Evidence("bystander"); len(evidence) > 0 {
		s.t.Errorf("the other device complains: %v", evidence)
	}
}

// kvmDevice is a driver whose accesses a processor of a real guest makes.
type kvmDevice struct {
	*scene
	cpu    *tinyguest.CPU
	base   uint64 // of the registers
	dev    virtio.Device
	queues []*vqtest.Driver
}

func (d *kvmDevice) set(reg uint64, v uint32) { d.cpu.Write(d.base+reg, 4, uint64(v)) }

func (d *kvmDevice) get(reg uint64) uint32 { return uint32(d.cpu.Read(d.base+reg, 4).Wait()) }

// negotiate resets the device and goes as far as FEATURES_OK.
func (d *kvmDevice) negotiate() {
	d.set(regStatus, 0)
	d.set(regStatus, virtiotest.Acknowledge)
	d.set(regStatus, virtiotest.Acknowledge|virtiotest.Driver)
	for word := range uint32(2) {
		d.set(regDevFeaturesSel, word)
		d.set(regFeaturesSel, word)
		d.set(regFeatures, d.get(regDevFeatures)&uint32(allFeatures>>(32*word)))
	}
	d.set(regStatus, virtiotest.Negotiated)
}

// place sets a queue up.
func (d *kvmDevice) place(i int, c virtqueue.Config) {
	d.set(regQueueSel, uint32(i))
	d.set(regQueueSize, uint32(c.Size))
	for reg, gpa := range map[uint64]memory.GPA{regQueueDescLow: c.Desc, regQueueDriverLow: c.Avail, regQueueDeviceLow: c.Used} {
		d.set(reg, uint32(gpa))
		d.set(reg+4, uint32(gpa>>32))
	}
	d.set(regQueueReady, 1)
}

// start resets the device and starts it on new, empty queues.
func (d *kvmDevice) start() {
	d.t.Helper()
	d.negotiate()
	d.queues = nil
	for i := range d.dev.QueueSizes() {
		d.queues = append(d.queues, vqtest.New(d.t, d.heap, queueSize))
		d.place(i, d.queues[i].Config)
	}
	d.set(regStatus, virtiotest.Running)
	if s := d.get(regStatus); s != virtiotest.Running {
		d.t.Fatalf("the status is %#x, want %#x", s, virtiotest.Running)
	}
}

func (d *kvmDevice) kick(q int) { d.set(regQueueNotify, uint32(q)) }

// serve makes a request on each of the device's serving queues and has the
// guest wait for the answers.
func (d *kvmDevice) serve() {
	d.t.Helper()
	for _, i := range serving[d.dev.ID()] {
		d.request(i)
	}
}

// request makes one request, in which nothing is asked for, on an idle queue.
func (d *kvmDevice) request(i int) {
	d.t.Helper()
	q := d.queues[i]
	used := uint64(q.Config.Used)
	before := uint16(d.cpu.Read(used+2, 2).Wait())
	q.Add(q.Out(make([]byte, 64)), q.In(64))
	d.kick(i)
	d.cpu.Until(used, 0xffff0000, uint32(before+1)<<16).Wait()
	if _, _, ok := q.Used(); !ok {
		d.t.Errorf("queue %d: the guest has seen what the host has not", i)
	}
}
