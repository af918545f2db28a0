package vcpu

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
)

const rounds = 25

// aWhile is long enough for a guest to do something, and never the same.
func aWhile() { time.Sleep(time.Duration(rand.IntN(500)) * time.Microsecond) }

// TestGuestGoesOn moves a guest that counts, in memory, in a register and by a
// port that counts along, from machine to machine. No count is lost, none happens
// twice, wherever it was.
func TestGuestGoesOn(t *testing.T) {
	g := newGuest(t, []byte{
		0x66, 0xff, 0x06, 0x00, 0x20, // inc dword [0x2000]
		0x66, 0x41, // inc ecx
		0x66, 0xe5, 0x10, // in eax, 0x10
		0x66, 0x39, 0xc8, // cmp eax, ecx
		0x75, 0x0c, // jne fail
		0x66, 0x3b, 0x06, 0x00, 0x20, // cmp eax, [0x2000]
		0x75, 0x05, // jne fail
		0x66, 0xe7, 0x11, // out 0x11, eax
		0xeb, 0xe5, // jmp to the first
		0xe6, portFail, // fail: out portFail, al
		0xf4, // hlt
	})
	port := new(log)
	m := newMover(t, g, port, port)
	for range rounds {
		aWhile()
		m.move()
	}
	n := len(port.at(0x11))
	port.until(t, 0x11, n+10)
	m.stop()
	if fails := port.at(portFail); fails != nil {
		r := m.g.Regs()
		t.Errorf("the guest read %d, counted %d in its register, %d in memory", uint32(r.RAX), uint32(r.RCX),
			binary.LittleEndian.Uint32(m.g.RAM[0x2000:]))
	}
	for i, n := range port.at(0x11) {
		if n != uint32(i+1) {
			t.Fatalf("count %d was %d", i+1, n)
		}
	}
}

// TestExceptionsGoOn moves a guest that does nothing but fault, each time on the
// next page, and checks that CR2 names it.
func TestExceptionsGoOn(t *testing.T) {
	const first = 1 << 32
	code := []byte{
		0x49, 0x8b, 0x00, // mov rax, [r8]
	}
	handler := []byte{
		0x0f, 0x20, 0xd2, // mov rdx, cr2
		0x4c, 0x39, 0xc2, // cmp rdx, r8
		0x75, 0x10, // jne fail
		0x49, 0x81, 0xc0, 0x00, 0x10, 0x00, 0x00, // add r8, 0x1000
		0x48, 0xff, 0xc1, // inc rcx
		0x48, 0x83, 0xc4, 0x08, // add rsp, 8     ; the error code
		0x48, 0xcf, // iretq
		0xe6, portFail, // fail: out portFail, al
		0xf4, // hlt
	}
	g := newGuest(t, code)
	g.LongMode()
	interrupts(t, g)
	gate(g, 14, handler)
	g.SetRegs(func(r *kvm.Regs) { r.R8 = first })
	port := new(log)
	m := newMover(t, g, port, port)
	faults := uint64(0)
	for range rounds {
		aWhile()
		m.move()
		m.cpu.Pause()
		if n := m.g.Regs().RCX; n < faults {
			t.Fatalf("%d faults, were %d", n, faults)
		} else {
			faults = n
		}
		m.cpu.Resume()
	}
	m.stop()
	r := m.g.Regs()
	if port.at(portFail) != nil {
		t.Errorf("after %d faults, CR2 was %#x at the fault on %#x", r.RCX, r.RDX, r.R8)
	}
	if r.RCX < rounds || r.R8 != first+r.RCX<<12 && r.R8 != first+(r.RCX+1)<<12 {
		t.Errorf("%d faults, the next is on %#x", r.RCX, r.R8)
	}
}

// Where interrupts puts its tables, and gate its handlers.
const (
	idtGPA     = 0x6000
	gdtGPA     = 0x7000
	handlerGPA = 0x3000
)

// interrupts gives a guest in long mode descriptor tables.
func interrupts(t *testing.T, g *kvmtest.Guest) {
	t.Helper()
	binary.LittleEndian.PutUint64(g.RAM[gdtGPA+8:], 0x00af9b000000ffff)  // 64-bit code
	binary.LittleEndian.PutUint64(g.RAM[gdtGPA+16:], 0x00cf93000000ffff) // data
	var s kvm.Sregs
	kvmtest.Must(t, g.VCPU.Sregs(&s))
	s.GDT = kvm.DTable{Base: gdtGPA, Limit: 23}
	s.IDT = kvm.DTable{Base: idtGPA, Limit: 0xfff}
	kvmtest.Must(t, g.VCPU.SetSregs(&s))
}

// gate has code handle a vector; Intel SDM volume 3, section 6.14.1.
func gate(g *kvmtest.Guest, vector int, code []byte) {
	copy(g.RAM[handlerGPA:], code)
	const present64BitInterruptGate = 0x8e00
	binary.LittleEndian.PutUint64(g.RAM[idtGPA+16*vector:], handlerGPA|8<<16|present64BitInterruptGate<<32)
}

// TestVectorRegistersGoOn moves a guest whose count is in every lane of a vector
// register, while it runs natively.
func TestVectorRegistersGoOn(t *testing.T) {
	sse := []byte{
		0x66, 0x0f, 0x58, 0xca, // addpd xmm1, xmm2
		0x48, 0xff, 0xc3, // inc rbx
		0xeb, 0xf7, // jmp to the first
	}
	avx := []byte{
		0xc5, 0xf5, 0x58, 0xca, // vaddpd ymm1, ymm1, ymm2
		0x48, 0xff, 0xc3, // inc rbx
		0xeb, 0xf7, // jmp to the first
	}
	t.Run("SSE", func(t *testing.T) { testVectors(t, sse, 2) })
	t.Run("AVX", func(t *testing.T) {
		own, err := newGuest(t, nil).VCPU.CPUID()
		kvmtest.Must(t, err)
		const avxFeature = 1 << 28
		if leaf(own, leafFeatures, 0).ECX&avxFeature == 0 {
			t.Skip("NOT TESTED: this processor has no AVX")
		}
		testVectors(t, avx, 4)
	})
}

func testVectors(t *testing.T, code []byte, lanes int) {
	g := newGuest(t, code)
	g.LongMode()
	g.UserMode()
	var s kvm.Sregs
	kvmtest.Must(t, g.VCPU.Sregs(&s))
	const osxsave, x87SSEAVX = 1 << 18, 7
	s.CR4 |= osxsave
	kvmtest.Must(t, g.VCPU.SetSregs(&s))
	if lanes == 4 {
		kvmtest.Must(t, g.VCPU.SetXCRs(kvm.XCRs{Count: 1, List: [16]kvm.XCR{{Value: x87SSEAVX}}}))
	}
	const one = 0x3ff0000000000000 // 1.0
	setLanes(t, g, 2, [4]uint64{one, one, one, one}, lanes)

	m := newMover(t, g, new(log), new(log))
	before := uint64(0)
	for range rounds {
		aWhile()
		m.move()
		m.cpu.Pause()
		n := m.g.Regs().RBX
		if n < before {
			t.Fatalf("the count is %d, was %d", n, before)
		}
		before = n
		for i, lane := range getLanes(t, m.g, 1, lanes) {
			if lane != n && lane != n+1 {
				t.Fatalf("lane %d has %d, the count is %d", i, lane, n)
			}
		}
		m.cpu.Resume()
	}
	if before < rounds {
		t.Errorf("the count is %d only", before)
	}
}
