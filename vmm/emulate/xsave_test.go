package emulate

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
)

var (
	insnXSave    = []byte{0x48, 0x0f, 0xae, 0x27} // xsave64 [rdi]
	insnXRstor   = []byte{0x48, 0x0f, 0xae, 0x2f} // xrstor64 [rdi]
	insnXSaveGS  = []byte{0x65, 0x48, 0x0f, 0xae, 0x64, 0x24, 0x40}
	insnInt3     = []byte{0xcc}
	insnCLAC     = []byte{0x0f, 0x01, 0xca}
	insnSTAC     = []byte{0x0f, 0x01, 0xcb}
	insnRDRAND   = []byte{0x48, 0x0f, 0xc7, 0xf0} // rdrand rax
	insnRDSEED16 = []byte{0x66, 0x0f, 0xc7, 0xfb} // rdseed bx
	insnRDTSCP   = []byte{0x0f, 0x01, 0xf9}
	insnRDPID    = []byte{0xf3, 0x0f, 0xc7, 0xf8}             // rdpid rax
	insnINVPCID  = []byte{0x66, 0x0f, 0x38, 0x82, 0x07}       // invpcid rax, [rdi]
	insnLockedUD = []byte{0xf0, 0x48, 0x0f, 0xae, 0x27}       // lock xsave64 [rdi]
	insnUnknown  = []byte{0x0f, 0x0b}                         // ud2
	insnVEX      = []byte{0xc5, 0xf8, 0x77}                   // vzeroupper
	insnCut      = []byte{0x48, 0x0f, 0xae, 0x84, 0x24, 0x00} // a displacement cut short
)

// fill gives the vCPU's x87, SSE and AVX registers values that tell them apart.
func (m *machine) fill(seed byte) {
	m.t.Helper()
	area := make([]byte, len(m.comp.area))
	kvmtest.Must(m.t, m.VCPU.XSave(area))      // with the processor's MXCSR_MASK
	binary.LittleEndian.PutUint16(area, 0x27f) // FCW: double precision
	area[4] = 0xff                             // FTW: all valid
	for i := range 8 {
		for b := range 10 { // 80-bit registers
			area[32+16*i+b] = seed + byte(16*i+b)
		}
	}
	for i := range 256 {
		area[160+i] = seed ^ byte(i)
	}
	binary.LittleEndian.PutUint32(area[offMXCSR:], 0x3f80) // round down
	for _, c := range m.comp.xsave {
		if c.states == stateAVX {
			for i := range c.size {
				area[c.off+i] = seed ^ byte(255-i)
			}
		}
	}
	binary.LittleEndian.PutUint64(area[offHeader:], x87SSEAVX)
	kvmtest.Must(m.t, m.VCPU.SetXSave(area))
}

// operand points RDI at the area and asks for the given states.
func (m *machine) operand(rfbm uint64) {
	m.SetRegs(func(r *kvm.Regs) { r.RDI, r.RAX, r.RDX = dataGPA, rfbm, 0 })
}

func TestXSaveAgainstNative(t *testing.T) {
	for rfbm := range uint64(8) {
		t.Run(fmt.Sprintf("states %03b", rfbm), func(t *testing.T) {
			completed, native := both(t, insnXSave, func(m *machine) {
				m.fill(0x11)
				m.operand(rfbm)
				for i := range 1024 {
					m.RAM[dataGPA+i] = 0xa5 // what isn't saved must stay
				}
				clear(m.RAM[dataGPA+offHeader:][:64])
				m.RAM[dataGPA+offHeader] = 7
			})
			if completed.regs != native.regs {
				t.Errorf("registers differ:\ncompleted %+v\nnative    %+v", completed.regs, native.regs)
			}
			for i := range completed.data {
				if completed.data[i] != native.data[i] {
					t.Errorf("byte %d of the area is %#x, natively %#x", i, completed.data[i], native.data[i])
				}
			}
		})
	}
}

func TestXRstorAgainstNative(t *testing.T) {
	for rfbm := range uint64(8) {
		for saved := range uint64(8) {
			t.Run(fmt.Sprintf("states %03b of %03b", rfbm, saved), func(t *testing.T) {
				completed, native := both(t, insnXRstor, func(m *machine) {
					m.fill(0x77) // the area's contents
					area := make([]byte, len(m.comp.area))
					kvmtest.Must(t, m.VCPU.XSave(area))
					copy(m.RAM[dataGPA:], area)
					clear(m.RAM[dataGPA+464:][:48])
					clear(m.RAM[dataGPA+offHeader:][:64])
					m.RAM[dataGPA+offHeader] = byte(saved)
					m.fill(0x22) // what is to be replaced
					m.operand(rfbm)
				})
				if completed.regs != native.regs {
					t.Errorf("registers differ:\ncompleted %+v\nnative    %+v", completed.regs, native.regs)
				}
				completed.regs, native.regs = kvm.Regs{}, kvm.Regs{}
				if completed != native {
					t.Errorf("x87 %v, MXCSR %#x natively %#x, XMM equal %v, YMM equal %v",
						completed.fcw == native.fcw, completed.mxcs, native.mxcs, completed.xmm == native.xmm, completed.ymm == native.ymm)
				}
			})
		}
	}
}

func TestXSaveByGS(t *testing.T) {
	completed, native := both(t, insnXSaveGS, func(m *machine) {
		m.fill(0x42)
		var s kvm.Sregs
		kvmtest.Must(t, m.VCPU.Sregs(&s))
		s.GS.Base = dataGPA - 0x40 - 0x100
		kvmtest.Must(t, m.VCPU.SetSregs(&s))
		m.SetRegs(func(r *kvm.Regs) { r.RSP, r.RAX = 0x100, x87SSEAVX })
	})
	if completed.data != native.data {
		t.Error("memory differs")
	}
}

// TestFaults breaks the rules of XSAVE and XRSTOR; the guest gets the fault
// that the manual names, and nothing else changes.
func TestFaults(t *testing.T) {
	sregs := func(m *machine, change func(*kvm.Sregs)) {
		var s kvm.Sregs
		kvmtest.Must(t, m.VCPU.Sregs(&s))
		change(&s)
		kvmtest.Must(t, m.VCPU.SetSregs(&s))
	}
	tests := []struct {
		name  string
		insn  []byte
		setup func(*machine)
		want  vector
		code  uint32
		cr2   uint64
	}{
		{"misaligned", insnXSave, func(m *machine) { m.SetRegs(func(r *kvm.Regs) { r.RDI = dataGPA + 8 }) }, vectorGP, 0, 0},
		{"not canonical", insnXSave, func(m *machine) { m.SetRegs(func(r *kvm.Regs) { r.RDI = 1 << 60 }) }, vectorGP, 0, 0},
		{"OSXSAVE off", insnXSave, func(m *machine) {
			m.operand(7)
			sregs(m, func(s *kvm.Sregs) { s.CR4 &^= cr4OSXSAVE })
		}, vectorUD, 0, 0},
		{"task switched", insnXRstor, func(m *machine) {
			m.operand(7)
			sregs(m, func(s *kvm.Sregs) { s.CR0 |= cr0TS })
		}, vectorNM, 0, 0},
		{"page not there", insnXSave, func(m *machine) {
			m.SetRegs(func(r *kvm.Regs) { r.RDI, r.RAX = 0x1_0000_0000, 7 })
		}, vectorPF, faultWrite, 0x1_0000_0000},
		{"page not there to read", insnXRstor, func(m *machine) {
			m.SetRegs(func(r *kvm.Regs) { r.RDI, r.RAX = 0x1_0000_0000, 7 })
		}, vectorPF, 0, 0x1_0000_0000},
		{"page read-only", insnXSave, func(m *machine) {
			m.operand(7)
			m.RAM[0xa000] &^= 2 // the first 2 MiB, in the page directory
			sregs(m, func(s *kvm.Sregs) { s.CR0 |= cr0WP })
		}, vectorPF, faultWrite | faultPresent, dataGPA},
		{"user page under SMAP", insnXSave, func(m *machine) {
			m.operand(7)
			sregs(m, func(s *kvm.Sregs) { s.CR4 |= cr4SMAP })
		}, vectorPF, faultWrite | faultPresent, dataGPA},
		{"compacted area", insnXRstor, func(m *machine) {
			m.operand(7)
			m.RAM[dataGPA+offHeader+15] = 0x80
		}, vectorGP, 0, 0},
		{"unknown state in the area", insnXRstor, func(m *machine) {
			m.operand(7)
			m.RAM[dataGPA+offHeader+7] = 0x40
		}, vectorGP, 0, 0},
		{"reserved MXCSR bits", insnXRstor, func(m *machine) {
			m.operand(7)
			m.RAM[dataGPA+offMXCSR+3] = 0xff
		}, vectorGP, 0, 0},
		{"cmpxchg16b misaligned", []byte{0x48, 0x0f, 0xc7, 0x0f}, func(m *machine) {
			m.SetRegs(func(r *kvm.Regs) { r.RDI = dataGPA + 8 })
		}, vectorGP, 0, 0},
		{"rdfsbase without FSGSBASE", []byte{0xf3, 0x48, 0x0f, 0xae, 0xc0}, func(m *machine) {
			sregs(m, func(s *kvm.Sregs) { s.CR4 &^= cr4FSGSBASE })
		}, vectorUD, 0, 0},
		{"wrfsbase not canonical", []byte{0xf3, 0x48, 0x0f, 0xae, 0xd0}, func(m *machine) {
			m.SetRegs(func(r *kvm.Regs) { r.RAX = 1 << 60 })
		}, vectorGP, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t, tt.insn)
			tt.setup(m)
			before := m.state()
			if ok, err := m.comp.Complete(m.VCPU, tt.insn); !ok || err != nil {
				t.Fatalf("Complete = %v, %v", ok, err)
			}
			var e kvm.VCPUEvents
			kvmtest.Must(t, m.VCPU.Events(&e))
			if e.Exception.Injected|e.Exception.Pending == 0 || vector(e.Exception.Vector) != tt.want || e.Exception.ErrorCode != tt.code {
				t.Errorf("exception %+v, want vector %d with code %d", e.Exception, tt.want, tt.code)
			}
			var s kvm.Sregs
			kvmtest.Must(t, m.VCPU.Sregs(&s))
			if s.CR2 != tt.cr2 {
				t.Errorf("CR2 = %#x, want %#x", s.CR2, tt.cr2)
			}
			if m.state() != before {
				t.Error("something changed besides")
			}
		})
	}
}

func TestInt3Traps(t *testing.T) {
	m := newMachine(t, insnInt3)
	if ok, err := m.comp.Complete(m.VCPU, insnInt3); !ok || err != nil {
		t.Fatalf("Complete = %v, %v", ok, err)
	}
	var e kvm.VCPUEvents
	kvmtest.Must(t, m.VCPU.Events(&e))
	if vector(e.Exception.Vector) != vectorBP || m.Regs().RIP != kvmtest.CodeGPA+1 {
		t.Errorf("vector %d at RIP %#x, want #BP after the instruction", e.Exception.Vector, m.Regs().RIP)
	}
}

func TestFlagsAndValues(t *testing.T) {
	do := func(t *testing.T, insn []byte, setup func(*kvm.Regs)) kvm.Regs {
		t.Helper()
		m := newMachine(t, insn)
		m.SetRegs(setup)
		if ok, err := m.comp.Complete(m.VCPU, insn); !ok || err != nil {
			t.Fatalf("Complete = %v, %v", ok, err)
		}
		r := m.Regs()
		if r.RIP != kvmtest.CodeGPA+uint64(len(insn)) {
			t.Errorf("RIP = %#x", r.RIP)
		}
		return r
	}
	nothing := func(*kvm.Regs) {}
	if r := do(t, insnSTAC, nothing); r.RFLAGS&rflagsAC == 0 {
		t.Error("stac left AC clear")
	}
	if r := do(t, insnCLAC, func(r *kvm.Regs) { r.RFLAGS |= rflagsAC }); r.RFLAGS&rflagsAC != 0 {
		t.Error("clac left AC set")
	}
	a, b := do(t, insnRDRAND, nothing), do(t, insnRDRAND, nothing)
	if a.RFLAGS&flagsStatus != flagCF || a.RAX == b.RAX {
		t.Errorf("rdrand gave %#x and %#x, flags %#x", a.RAX, b.RAX, a.RFLAGS)
	}
	if r := do(t, insnRDSEED16, func(r *kvm.Regs) { r.RBX = 0xaaaa_0000 }); r.RBX>>16 != 0xaaaa {
		t.Errorf("rdseed bx wrote %#x", r.RBX)
	}
	if r := do(t, insnRDTSCP, func(r *kvm.Regs) { r.RCX = ^uint64(0) }); r.RAX == 0 || r.RCX > 0xffff_ffff {
		t.Errorf("rdtscp gave %#x:%#x, %#x", r.RDX, r.RAX, r.RCX)
	}
	if r := do(t, insnRDPID, func(r *kvm.Regs) { r.RAX = ^uint64(0) }); r.RAX > 0xffff_ffff {
		t.Errorf("rdpid gave %#x", r.RAX)
	}
	do(t, insnINVPCID, func(r *kvm.Regs) { r.RDI, r.RAX = dataGPA, 2 })
}

func TestUnknownStays(t *testing.T) {
	for _, insn := range [][]byte{insnUnknown, insnVEX, insnCut, insnLockedUD, nil, {0x66}, {0x0f}, {0xf3, 0x0f, 0xae}} {
		m := newMachine(t, insn)
		before := m.state()
		if ok, err := m.comp.Complete(m.VCPU, insn); ok || err != nil {
			t.Errorf("% x: Complete = %v, %v; want it refused", insn, ok, err)
		}
		if m.state() != before {
			t.Errorf("% x: the vCPU changed", insn)
		}
	}
}

func TestUserCodeIsRefused(t *testing.T) {
	m := newMachine(t, insnXSave)
	m.operand(7)
	m.UserMode()
	if ok, err := m.comp.Complete(m.VCPU, insnXSave); ok || err != nil {
		t.Errorf("Complete = %v, %v at CPL 3; want it refused", ok, err)
	}
}

func TestPageTablesOutsideRAM(t *testing.T) {
	m := newMachine(t, insnXSave)
	m.operand(7)
	binary.LittleEndian.PutUint64(m.RAM[0x8000:], 1<<40|3)
	if ok, err := m.comp.Complete(m.VCPU, insnXSave); ok || err != nil {
		t.Errorf("Complete = %v, %v; want it refused", ok, err)
	}
}

// FuzzDecode feeds the decoder anything.
func FuzzDecode(f *testing.F) {
	for _, insn := range [][]byte{insnXSave, insnXSaveGS, insnCut, insnINVPCID, insnRDPID} {
		f.Add(insn)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		i, ok := decode(b)
		if ok && i.length > len(b) {
			t.Fatalf("instruction of %d bytes in %d", i.length, len(b))
		}
		if ok {
			lookup(&i)
		}
	})
}
