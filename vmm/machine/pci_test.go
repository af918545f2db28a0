package machine

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/bus"
	"github.com/bulkhead-vm/bulkhead/devices/pci/pcitest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/rng"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// pciMachine is a machine's PCI devices and what is below them, without a kernel.
type pciMachine struct {
	*Machine
	*pcitest.Guest
	t    *testing.T
	vcpu *kvm.VCPU
}

func newPCIMachine(t *testing.T, mem *memory.Memory) *pciMachine {
	t.Helper()
	g := kvmtest.New(t, []byte{0xf4}, kvmtest.WithIRQChip)
	m := &pciMachine{Machine: &Machine{vm: g.VM, mem: mem, done: make(chan struct{})}, Guest: &pcitest.Guest{}, t: t, vcpu: g.VCPU}
	c := Config{Transport: PCI, Report: func(string, error) {}}
	for _, name := range []string{"rng0", "rng1"} {
		c.Devices = append(c.Devices, Device{Name: name, Device: rng.New(rng.Config{})})
	}
	r, err := m.createDevices(c)
	kvmtest.Must(t, err)
	t.Cleanup(func() { kvmtest.Must(t, m.Close()) })
	m.Guest.IO, err = bus.New(r.ports...)
	kvmtest.Must(t, err)
	m.Guest.Memory, err = bus.New(r.memory...)
	kvmtest.Must(t, err)
	lapic, err := m.vcpu.LAPIC()
	kvmtest.Must(t, err)
	binary.LittleEndian.PutUint32(lapic.Regs[0xf0:], 0x1ff) // enabled; SDM volume 3, section 11.9
	kvmtest.Must(t, m.vcpu.SetLAPIC(lapic))
	return m
}

// interrupted reports whether the local APIC has been sent an interrupt.
func (m *pciMachine) interrupted(vector int) bool {
	m.t.Helper()
	lapic, err := m.vcpu.LAPIC()
	kvmtest.Must(m.t, err)
	return binary.LittleEndian.Uint32(lapic.Regs[0x200+vector/32*16:])>>(vector%32)&1 != 0
}

// hasDoorbell asks KVM, which takes one at an address.
func (m *pciMachine) hasDoorbell(gpa uint64) bool {
	m.t.Helper()
	event := kvm.IOEventFD{FD: kvmtest.EventFD(m.t), Address: gpa}
	err := m.vm.AssignIOEventFD(event)
	if errors.Is(err, unix.EEXIST) {
		return true
	}
	kvmtest.Must(m.t, err)
	kvmtest.Must(m.t, m.vm.DeassignIOEventFD(event))
	return false
}

// startDriver has a device's memory at bar, its queue's interrupts as vector of the
// local APIC, and its driver running; virtio 1.2, sections 3.1.1 and 4.1.4.3.
func (m *pciMachine) startDriver(device int, bar uint32, vector int, q *vqtest.Driver) {
	m.SetConfig(device, pcitest.BAR0, 4, bar)
	m.SetConfig(device, pcitest.Command, 2, pcitest.CommandMemory|pcitest.CommandMaster)
	msix := m.Find(device, pcitest.IDMSIX)
	m.SetConfig(device, msix+pcitest.MSIXControl, 2, pcitest.MSIXEnable)
	entry := uint64(bar) + uint64(m.Config(device, msix+pcitest.MSIXTable, 4)) + 16
	m.Write(entry, 8, 0xfee00000)
	m.Write(entry+8, 8, uint64(vector))
	for _, w := range []struct {
		offset uint64
		width  int
		v      uint64
	}{
		{20, 1, 1}, {20, 1, 3}, {8, 4, 1}, {12, 4, 1}, {20, 1, 11},
		{24, 2, uint64(q.Config.Size)}, {26, 2, 1},
		{32, 4, uint64(q.Config.Desc)}, {40, 4, uint64(q.Config.Avail)}, {48, 4, uint64(q.Config.Used)},
		{28, 2, 1}, {20, 1, 15},
	} {
		m.Write(uint64(bar)+w.offset, w.width, w.v)
	}
	if status := m.Read(uint64(bar)+20, 1); status != 15 {
		m.t.Fatalf("status %#x after a correct start", status)
	}
}

// suspended returns the state of the devices, at rest.
func (m *pciMachine) suspended() (s *statev1.Machine) {
	s = &statev1.Machine{PciRoot: m.saveBus()}
	for _, d := range m.devices {
		d.transport.Suspend()
		s.Devices = append(s.Devices, d.transport.Save())
	}
	return s
}

// take has the devices go on from s.
func (m *pciMachine) take(s *statev1.Machine) {
	m.t.Helper()
	for i, d := range m.devices {
		kvmtest.Must(m.t, d.transport.Restore(s.Devices[i]))
	}
	kvmtest.Must(m.t, m.restoreBus(s.PciRoot))
	for _, d := range m.devices {
		kvmtest.Must(m.t, d.transport.Resume())
	}
}

// TestRestorePCI moves devices to another virtual machine, where KVM knows their
// doorbells and messages, and what was asked for is done.
func TestRestorePCI(t *testing.T) {
	const device, bar, vector, notify = 2, 0xe080_0000, 0x61, 0x3000
	heap := vqtest.NewHeap(t, 1<<20)
	q := vqtest.New(t, heap, 8)
	m := newPCIMachine(t, heap.Mem)
	preset := uint64(m.Config(device, pcitest.BAR0, 4))
	m.startDriver(device, bar, vector, q)
	s := m.suspended()
	buffer := q.In(64)
	q.Add(buffer) // a kick that nobody hears any more

	next := newPCIMachine(t, heap.Mem)
	if next.hasDoorbell(bar+notify) || next.interrupted(vector) {
		t.Fatal("a fresh machine isn't fresh")
	}
	next.take(s)
	if !next.hasDoorbell(bar + notify) {
		t.Error("there is no doorbell where the BAR is")
	}
	if next.hasDoorbell(preset + notify) {
		t.Error("there is a doorbell where the BAR isn't")
	}
	for start := time.Now(); !next.interrupted(vector); time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatal("no interrupt came")
		}
	}
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		if _, n, ok := q.Used(); ok {
			if n != buffer.Len {
				t.Errorf("%d bytes", n)
			}
			break
		}
		if time.Since(start) > 10*time.Second {
			t.Fatal("the request wasn't done")
		}
	}
}

// TestRestoreBusRefuses: a machine says what no guest could have written, as for
// devices. Without a bus there is nothing to take.
func TestRestoreBusRefuses(t *testing.T) {
	m := newPCIMachine(t, memory.NewHeap(memory.Range{Size: 1 << 20}))
	var refusal *virtio.StateError
	if err := m.restoreBus(nil); !errors.As(err, &refusal) {
		t.Errorf("error %v, want a StateError", err)
	}
	kvmtest.Must(t, m.restoreBus(m.saveBus()))
	none := new(Machine)
	if s := none.saveBus(); s != nil || none.restoreBus(s) != nil {
		t.Errorf("a machine without a bus has %v", s)
	}
}
