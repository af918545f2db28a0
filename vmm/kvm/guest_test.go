package kvm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
)

// Each guest below is 16-bit code at GPA 0x1000.

func TestPortOut(t *testing.T) {
	g := kvmtest.New(t, []byte{
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xb0, '!', // mov al, '!'
		0xee, // out dx, al
		0xf4, // hlt
	})
	g.RunTo(kvm.ExitIO)
	io := g.VCPU.IO()
	if !io.Write || io.Port != 0x3f8 || io.Size != 1 || io.Count != 1 || string(io.Data) != "!" {
		t.Errorf("exit is %+v, want one byte '!' to port 0x3f8", io)
	}
	g.RunTo(kvm.ExitHLT)
}

func TestPortIn(t *testing.T) {
	g := kvmtest.New(t, []byte{
		0xe5, 0x60, // in ax, 0x60
		0xf4, // hlt
	})
	g.RunTo(kvm.ExitIO)
	io := g.VCPU.IO()
	if io.Write || io.Port != 0x60 || io.Size != 2 {
		t.Errorf("exit is %+v, want a two-byte read of port 0x60", io)
	}
	binary.LittleEndian.PutUint16(io.Data, 0xbeef)
	g.RunTo(kvm.ExitHLT)
	if ax := uint16(g.Regs().RAX); ax != 0xbeef {
		t.Errorf("ax = %#x, want 0xbeef", ax)
	}
}

func TestPortString(t *testing.T) {
	g := kvmtest.New(t, []byte{
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xbe, 0x00, 0x20, // mov si, 0x2000
		0xb9, 0x03, 0x00, // mov cx, 3
		0xf3, 0x6e, // rep outsb
		0xf4, // hlt
	})
	copy(g.RAM[0x2000:], "abc")
	var got []byte
	for range 3 { // one exit for all, or one each: hosts differ
		kvmtest.Must(t, g.VCPU.Run())
		if g.VCPU.ExitReason() != kvm.ExitIO {
			break
		}
		got = append(got, g.VCPU.IO().Data...)
	}
	if string(got) != "abc" {
		t.Errorf("the port got %q, want \"abc\"", got)
	}
}

func TestMMIO(t *testing.T) {
	g := kvmtest.New(t, []byte{
		0xb8, 0x00, 0x80, // mov ax, 0x8000
		0x8e, 0xd8, // mov ds, ax       ; segment base 0x80000
		0xc7, 0x06, 0x10, 0x00, 0x34, 0x12, // mov word [0x10], 0x1234
		0xa1, 0x20, 0x00, // mov ax, [0x20]
		0xf4, // hlt
	})
	g.RunTo(kvm.ExitMMIO)
	mmio := g.VCPU.MMIO()
	if !mmio.Write || mmio.GPA != 0x80010 || !bytes.Equal(mmio.Data, []byte{0x34, 0x12}) {
		t.Errorf("exit is %+v, want a write of 0x1234 to 0x80010", mmio)
	}
	g.RunTo(kvm.ExitMMIO)
	mmio = g.VCPU.MMIO()
	if mmio.Write || mmio.GPA != 0x80020 || len(mmio.Data) != 2 {
		t.Errorf("exit is %+v, want a two-byte read of 0x80020", mmio)
	}
	binary.LittleEndian.PutUint16(mmio.Data, 0xcafe)
	g.RunTo(kvm.ExitHLT)
	if ax := uint16(g.Regs().RAX); ax != 0xcafe {
		t.Errorf("ax = %#x, want 0xcafe", ax)
	}
}

func TestTripleFault(t *testing.T) {
	g := kvmtest.New(t, []byte{0x0f, 0x0b}) // ud2, with no interrupt table to go to
	g.LongMode()
	g.RunTo(kvm.ExitShutdown)
}

func TestMemorySlotChange(t *testing.T) {
	g := kvmtest.New(t, []byte{
		0xb8, 0x00, 0x20, // mov ax, 0x2000
		0x8e, 0xd8, // mov ds, ax       ; segment base 0x20000
		0xa0, 0x00, 0x00, // mov al, [0]
		0xf4, // hlt
	})
	slot := kvm.MemorySlot{Slot: 1, GPA: 0x20000, Bytes: kvmtest.Pages(t, 1)}
	slot.Bytes[0] = 'A'
	kvmtest.Must(t, g.VM.SetMemorySlot(slot))
	g.RunTo(kvm.ExitHLT)
	if al := byte(g.Regs().RAX); al != 'A' {
		t.Errorf("al = %q, want 'A' from the first slot", al)
	}

	kvmtest.Must(t, g.VM.DeleteMemorySlot(1))
	slot.Bytes = kvmtest.Pages(t, 1)
	slot.Bytes[0] = 'B'
	kvmtest.Must(t, g.VM.SetMemorySlot(slot))
	g.SetRegs(func(r *kvm.Regs) { r.RIP = kvmtest.CodeGPA })
	g.RunTo(kvm.ExitHLT)
	if al := byte(g.Regs().RAX); al != 'B' {
		t.Errorf("al = %q, want 'B' from the second slot", al)
	}

	kvmtest.Must(t, g.VM.DeleteMemorySlot(1))
	g.SetRegs(func(r *kvm.Regs) { r.RIP = kvmtest.CodeGPA })
	g.RunTo(kvm.ExitMMIO)
}

func TestReadOnlySlot(t *testing.T) {
	g := kvmtest.New(t, []byte{
		0xb8, 0x00, 0x20, // mov ax, 0x2000
		0x8e, 0xd8, // mov ds, ax       ; segment base 0x20000
		0xa0, 0x08, 0x00, // mov al, [8]
		0xc6, 0x06, 0x08, 0x00, 'X', // mov byte [8], 'X'
		0xf4, // hlt
	})
	rom := kvmtest.Pages(t, 1)
	rom[8] = 'R'
	kvmtest.Must(t, g.VM.SetMemorySlot(kvm.MemorySlot{Slot: 1, GPA: 0x20000, Bytes: rom, ReadOnly: true}))
	g.RunTo(kvm.ExitMMIO)
	mmio := g.VCPU.MMIO()
	if !mmio.Write || mmio.GPA != 0x20008 || string(mmio.Data) != "X" {
		t.Errorf("exit is %+v, want a write of 'X' to 0x20008", mmio)
	}
	g.RunTo(kvm.ExitHLT)
	if al := byte(g.Regs().RAX); al != 'R' || rom[8] != 'R' {
		t.Errorf("guest read %q, memory holds %q, want 'R' in both", al, rom[8])
	}
}

func TestDirtyLog(t *testing.T) {
	g := kvmtest.New(t, []byte{
		0xb8, 0x00, 0x20, // mov ax, 0x2000
		0x8e, 0xd8, // mov ds, ax       ; segment base 0x20000
		0xc6, 0x06, 0x00, 0x30, 1, // mov byte [0x3000], 1
		0xf4, // hlt
	})
	slot := kvm.MemorySlot{Slot: 1, GPA: 0x20000, Bytes: kvmtest.Pages(t, 8), LogDirty: true}
	kvmtest.Must(t, g.VM.SetMemorySlot(slot))
	g.RunTo(kvm.ExitHLT)
	bitmap := make([]uint64, 1)
	kvmtest.Must(t, g.VM.DirtyLog(1, bitmap))
	if bitmap[0]&(1<<3) == 0 {
		t.Errorf("dirty log is %#b, page 3 is missing", bitmap[0])
	}
	kvmtest.Must(t, g.VM.DirtyLog(1, bitmap))
	if bitmap[0] != 0 {
		t.Errorf("dirty log is %#b after it was read, want 0", bitmap[0])
	}
}

func TestIOEventFD(t *testing.T) {
	g := kvmtest.New(t, []byte{
		0xb8, 0x00, 0x80, // mov ax, 0x8000
		0x8e, 0xd8, // mov ds, ax       ; segment base 0x80000
		0x66, 0xc7, 0x06, 0x50, 0x00, 1, 0, 0, 0, // mov dword [0x50], 1
		0x66, 0xc7, 0x06, 0x50, 0x00, 2, 0, 0, 0, // mov dword [0x50], 2
		0xf4, // hlt
	})
	queue := uint64(1)
	event := kvm.IOEventFD{FD: kvmtest.EventFD(t), Address: 0x80050, Length: 4, Match: &queue}
	kvmtest.Must(t, g.VM.AssignIOEventFD(event))
	g.RunTo(kvm.ExitMMIO) // the second write: its value doesn't match
	if got := g.VCPU.MMIO().Data[0]; got != 2 {
		t.Errorf("write of %d left the guest, want only 2", got)
	}
	if n := readEvent(t, event.FD); n != 1 {
		t.Errorf("eventfd counts %d, want 1", n)
	}
	g.RunTo(kvm.ExitHLT)

	kvmtest.Must(t, g.VM.DeassignIOEventFD(event))
	g.SetRegs(func(r *kvm.Regs) { r.RIP = kvmtest.CodeGPA })
	g.RunTo(kvm.ExitMMIO)
	if got := g.VCPU.MMIO().Data[0]; got != 1 {
		t.Errorf("write of %d left the guest first after deassign, want 1", got)
	}
}

// irqGuest sets up the master PIC with vectors from 0x20, unmasks IRQ 5 only
// and waits; its handler says 'i' on port 0xe9.
var irqGuest = []byte{
	0xb0, 0x11, 0xe6, 0x20, // ICW1: edge-triggered, cascade
	0xb0, 0x20, 0xe6, 0x21, // ICW2: vectors from 0x20
	0xb0, 0x04, 0xe6, 0x21, // ICW3: slave on IRQ 2
	0xb0, 0x01, 0xe6, 0x21, // ICW4: 8086 mode
	0xb0, 0xdf, 0xe6, 0x21, // mask all but IRQ 5
	0xe6, 0xe8, // out 0xe8, al     ; ready
	0xfb,       // sti
	0xf4,       // hlt
	0xeb, 0xfd, // jmp to the hlt
}

// irqHandler goes to GPA 0x3000.
var irqHandler = []byte{
	0xb0, 'i', 0xe6, 0xe9, // say so
	0xb0, 0x20, 0xe6, 0x20, // end of interrupt
	0xcf, // iret
}

func newIRQGuest(t *testing.T) *kvmtest.Guest {
	g := kvmtest.New(t, irqGuest, kvmtest.WithIRQChip)
	copy(g.RAM[0x3000:], irqHandler)
	binary.LittleEndian.PutUint16(g.RAM[0x25*4:], 0x3000) // vector 0x25: 0000:3000
	g.RunTo(kvm.ExitIO)
	if port := g.VCPU.IO().Port; port != 0xe8 {
		t.Fatalf("guest wrote port %#x first, want 0xe8", port)
	}
	return g
}

func wantInterrupt(t *testing.T, g *kvmtest.Guest) {
	t.Helper()
	g.RunTo(kvm.ExitIO)
	if io := g.VCPU.IO(); io.Port != 0xe9 || string(io.Data) != "i" {
		t.Errorf("exit is %+v, want 'i' on port 0xe9", io)
	}
}

func TestIRQFD(t *testing.T) {
	g := newIRQGuest(t)
	event := kvmtest.EventFD(t)
	kvmtest.Must(t, g.VM.AssignIRQFD(event, 5))
	for range 3 {
		time.AfterFunc(time.Millisecond, func() { writeEvent(t, event) }) // while the guest halts
		wantInterrupt(t, g)
	}
	kvmtest.Must(t, g.VM.DeassignIRQFD(event, 5))
}

func TestIRQLine(t *testing.T) {
	g := newIRQGuest(t)
	kvmtest.Must(t, g.VM.SetIRQLine(5, true))
	kvmtest.Must(t, g.VM.SetIRQLine(5, false))
	wantInterrupt(t, g)
}

func TestEmulationFailure(t *testing.T) {
	// KVM must emulate an access to absent memory, and has no POPCNT.
	insn := []byte{0xf3, 0x0f, 0xb8, 0x06, 0x00, 0x00} // popcnt ax, [0]
	g := kvmtest.New(t, append([]byte{
		0xb8, 0x00, 0x80, // mov ax, 0x8000
		0x8e, 0xd8, // mov ds, ax       ; segment base 0x80000
	}, insn...))
	kvmtest.Must(t, g.VM.EnableCap(kvm.CapExitOnEmulationFailure, 1))
	g.RunTo(kvm.ExitInternalError)
	e := g.VCPU.InternalError()
	if e.Suberror != kvm.SuberrorEmulation || !bytes.HasPrefix(e.Insn, insn) {
		t.Errorf("exit is %+v, want an emulation failure with the bytes % x", e, insn)
	}
	if rip := g.Regs().RIP; rip != kvmtest.CodeGPA+5 {
		t.Errorf("RIP = %#x, want the instruction's own address", rip)
	}
}

func TestKick(t *testing.T) {
	g := kvmtest.New(t, []byte{0xeb, 0xfe}) // jmp to itself
	tid := unix.Gettid()
	time.AfterFunc(10*time.Millisecond, func() {
		g.VCPU.SetImmediateExit(true)
		kvmtest.Must(t, unix.Tgkill(unix.Getpid(), tid, unix.SIGURG))
	})
	if err := g.VCPU.Run(); !errors.Is(err, kvm.ErrInterrupted) {
		t.Fatalf("Run returned %v, want ErrInterrupted", err)
	}
	if err := g.VCPU.Run(); !errors.Is(err, kvm.ErrInterrupted) {
		t.Fatalf("Run returned %v while immediate_exit is set, want ErrInterrupted", err)
	}
}

func TestImmediateExitCompletesIO(t *testing.T) {
	g := kvmtest.New(t, []byte{
		0xe4, 0x60, // in al, 0x60
		0xf4, // hlt
	})
	g.RunTo(kvm.ExitIO)
	g.VCPU.IO().Data[0] = 7
	g.VCPU.SetImmediateExit(true)
	if err := g.VCPU.Run(); !errors.Is(err, kvm.ErrInterrupted) {
		t.Fatalf("Run returned %v, want ErrInterrupted", err)
	}
	if r := g.Regs(); byte(r.RAX) != 7 || r.RIP != kvmtest.CodeGPA+2 {
		t.Errorf("al = %d, RIP = %#x: the read was not completed", byte(r.RAX), r.RIP)
	}
	g.VCPU.SetImmediateExit(false)
	g.RunTo(kvm.ExitHLT)
}

func readEvent(t *testing.T, fd int) uint64 {
	t.Helper()
	var b [8]byte
	if _, err := unix.Read(fd, b[:]); err != nil {
		t.Fatalf("read eventfd: %v", err)
	}
	return binary.NativeEndian.Uint64(b[:])
}

func writeEvent(t *testing.T, fd int) {
	b := binary.NativeEndian.AppendUint64(nil, 1)
	if _, err := unix.Write(fd, b); err != nil {
		t.Errorf("write eventfd: %v", err)
	}
}
