package kvm_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
)

// TestMessage has an eventfd send messages to a guest that halts, and changes
// the message under way. The pin that was routed before still works.
func TestMessage(t *testing.T) {
	g := newIRQGuest(t)
	enableLAPIC(t, g)
	const gsi = 24
	event := kvmtest.EventFD(t)
	kvmtest.Must(t, g.VM.AssignIRQFD(event, gsi)) // before there is a route
	// The guest ends no interrupt of its local APIC: only higher vectors follow.
	for _, number := range []uint32{0x31, 0x41, 0x51} {
		binary.LittleEndian.PutUint16(g.RAM[number*4:], 0x3000)
		kvmtest.Must(t, g.VM.SetGSIRouting([]kvm.Route{
			{GSI: 5, Chip: kvm.ChipPICMaster, Pin: 5},
			{GSI: gsi, MSI: &kvm.MSI{AddressLo: 0xfee00000, Data: number}},
		}))
		time.AfterFunc(time.Millisecond, func() { writeEvent(t, event) })
		wantInterrupt(t, g)
	}
	pin := kvmtest.EventFD(t)
	kvmtest.Must(t, g.VM.AssignIRQFD(pin, 5))
	writeEvent(t, pin)
	wantInterrupt(t, g)
	kvmtest.Must(t, g.VM.DeassignIRQFD(event, gsi))
}

// enableLAPIC does what a guest does by the spurious interrupt vector register
// and LINT0; Intel SDM volume 3, sections 11.9 and 11.5.1.
func enableLAPIC(t *testing.T, g *kvmtest.Guest) {
	t.Helper()
	const spurious, lint0 = 0xf0, 0x350
	lapic, err := g.VCPU.LAPIC()
	kvmtest.Must(t, err)
	binary.LittleEndian.PutUint32(lapic.Regs[spurious:], 0x1ff)
	binary.LittleEndian.PutUint32(lapic.Regs[lint0:], 0x700) // from the PIC
	kvmtest.Must(t, g.VCPU.SetLAPIC(lapic))
}

// TestIOEventFDAnyWidth catches writes of every width at one address, and no
// others.
func TestIOEventFDAnyWidth(t *testing.T) {
	g := kvmtest.New(t, []byte{
		0xb8, 0x00, 0x80, // mov ax, 0x8000
		0x8e, 0xd8, // mov ds, ax       ; segment base 0x80000
		0xc6, 0x06, 0x50, 0x00, 7, // mov byte [0x50], 7
		0xc7, 0x06, 0x50, 0x00, 7, 0, // mov word [0x50], 7
		0x66, 0xc7, 0x06, 0x50, 0x00, 7, 0, 0, 0, // mov dword [0x50], 7
		0xc7, 0x06, 0x54, 0x00, 9, 0, // mov word [0x54], 9
		0xc7, 0x06, 0x52, 0x00, 8, 0, // mov word [0x52], 8
		0xf4, // hlt
	})
	event := kvm.IOEventFD{FD: kvmtest.EventFD(t), Address: 0x80050}
	next := kvm.IOEventFD{FD: kvmtest.EventFD(t), Address: 0x80054}
	kvmtest.Must(t, g.VM.AssignIOEventFD(event))
	kvmtest.Must(t, g.VM.AssignIOEventFD(next))
	g.RunTo(kvm.ExitMMIO)
	if mmio := g.VCPU.MMIO(); mmio.GPA != 0x80052 {
		t.Errorf("a write to %#x left the guest", mmio.GPA)
	}
	if n := readEvent(t, event.FD); n != 3 {
		t.Errorf("three writes count %d", n)
	}
	if n := readEvent(t, next.FD); n != 1 {
		t.Errorf("one write to the next counts %d", n)
	}
	kvmtest.Must(t, g.VM.DeassignIOEventFD(event))
	g.SetRegs(func(r *kvm.Regs) { r.RIP = kvmtest.CodeGPA })
	g.RunTo(kvm.ExitMMIO)
	if mmio := g.VCPU.MMIO(); mmio.GPA != 0x80050 || len(mmio.Data) != 1 {
		t.Errorf("first to leave the guest after deassign: %+v", mmio)
	}
}
