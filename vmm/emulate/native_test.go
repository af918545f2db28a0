package emulate

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// The guests here hold data at dataGPA and keep every control bit set that the
// instructions under test depend on.
const (
	dataGPA = 0x4000
	dataLen = 0x3000

	cr4FSGSBASEAndXSAVE = cr4FSGSBASE | cr4OSXSAVE
	x87SSEAVX           = 7
)

// machine is a guest about to execute one instruction.
type machine struct {
	*kvmtest.Guest
	t    *testing.T
	mem  *memory.Memory
	comp *Completer
}

func newMachine(t *testing.T, insn []byte) *machine {
	t.Helper()
	g := kvmtest.New(t, append(bytes.Clone(insn), kvmtest.Knock()...))
	cpuid, err := g.System.SupportedCPUID()
	kvmtest.Must(t, err)
	kvmtest.Must(t, g.VCPU.SetCPUID(cpuid))
	g.LongMode()
	var s kvm.Sregs
	kvmtest.Must(t, g.VCPU.Sregs(&s))
	s.CR4 |= cr4FSGSBASEAndXSAVE
	kvmtest.Must(t, g.VCPU.SetSregs(&s))
	kvmtest.Must(t, g.VCPU.SetXCRs(kvm.XCRs{Count: 1, List: [16]kvm.XCR{{Value: x87SSEAVX}}}))
	size, err := g.VM.XSaveSize()
	kvmtest.Must(t, err)
	mem := memory.FromRegions(memory.Region{Range: memory.Range{Size: uint64(len(g.RAM))}, Bytes: g.RAM})
	return &machine{g, t, mem, New(mem, cpuid, size)}
}

// state is what an instruction may change.
type state struct {
	regs kvm.Regs
	data [dataLen]byte
	xmm  [16][16]byte
	ymm  [256]byte // upper halves
	mxcs uint32
	fcw  uint16
}

func (m *machine) state() (s state) {
	m.t.Helper()
	s.regs = m.Regs()
	copy(s.data[:], m.RAM[dataGPA:])
	size, err := m.VM.XSaveSize()
	kvmtest.Must(m.t, err)
	area := make([]byte, size)
	kvmtest.Must(m.t, m.VCPU.XSave(area))
	for i := range s.xmm {
		copy(s.xmm[i][:], area[160+16*i:])
	}
	for _, c := range m.comp.xsave {
		if c.states == stateAVX {
			copy(s.ymm[:], area[c.off:])
		}
	}
	s.mxcs = binary.LittleEndian.Uint32(area[offMXCSR:])
	s.fcw = binary.LittleEndian.Uint16(area)
	return s
}

// both carries the instruction out twice from the same start: by Complete, and
// natively in user mode.
func both(t *testing.T, insn []byte, setup func(*machine)) (completed, native state) {
	t.Helper()
	t.Run("completed", func(t *testing.T) {
		m := newMachine(t, insn)
		setup(m)
		ok, err := m.comp.Complete(m.VCPU, insn)
		if !ok || err != nil {
			t.Fatalf("Complete = %v, %v", ok, err)
		}
		completed = m.state()
	})
	t.Run("native", func(t *testing.T) {
		m := newMachine(t, insn)
		setup(m)
		m.UserMode()
		m.RunTo(kvm.ExitMMIO)
		native = m.state()
		native.regs.RIP = kvmtest.CodeGPA + uint64(len(insn)) // as before the knock
	})
	return completed, native
}

func regs(change func(*kvm.Regs)) func(*machine) {
	return func(m *machine) { m.SetRegs(change) }
}

func TestAgainstNative(t *testing.T) {
	tests := []struct {
		name  string
		insn  []byte
		setup func(*machine)
	}{
		{"popcnt rax, rbx", []byte{0xf3, 0x48, 0x0f, 0xb8, 0xc3},
			regs(func(r *kvm.Regs) { r.RBX, r.RFLAGS = 0xf0f0_0000_0000_0001, 0x8d7 })},
		{"popcnt eax, ebx", []byte{0xf3, 0x0f, 0xb8, 0xc3},
			regs(func(r *kvm.Regs) { r.RAX, r.RBX = ^uint64(0), 0xffff_ffff_0000_0003 })},
		{"popcnt ax, bx", []byte{0x66, 0xf3, 0x0f, 0xb8, 0xc3},
			regs(func(r *kvm.Regs) { r.RAX, r.RBX = ^uint64(0), 0xffff_0007 })},
		{"popcnt of zero", []byte{0xf3, 0x0f, 0xb8, 0xc3}, regs(func(r *kvm.Regs) { r.RFLAGS = 2 })},
		{"popcnt r9, [r8+r10*4+8]", []byte{0xf3, 0x4f, 0x0f, 0xb8, 0x4c, 0x90, 0x08}, func(m *machine) {
			m.SetRegs(func(r *kvm.Regs) { r.R8, r.R10 = dataGPA, 2 })
			binary.LittleEndian.PutUint64(m.RAM[dataGPA+16:], 0x1234_5678_9abc_def0)
		}},
		{"popcnt eax, [rip+disp]", []byte{0xf3, 0x0f, 0xb8, 0x05, 0xf8, 0x2f, 0, 0}, func(m *machine) {
			binary.LittleEndian.PutUint32(m.RAM[dataGPA:], 0xff)
		}},
		{"popcnt eax, [disp32]", []byte{0xf3, 0x0f, 0xb8, 0x04, 0x25, 0, 0x40, 0, 0}, func(m *machine) {
			binary.LittleEndian.PutUint32(m.RAM[dataGPA:], 0x7f)
		}},
		{"popcnt across a page", []byte{0xf3, 0x48, 0x0f, 0xb8, 0x03}, func(m *machine) {
			m.SetRegs(func(r *kvm.Regs) { r.RBX = dataGPA + 0xffc })
			binary.LittleEndian.PutUint64(m.RAM[dataGPA+0xffc:], 0xff00_ff00_ff00_ff01)
		}},
		{"cmpxchg16b equal", []byte{0x48, 0x0f, 0xc7, 0x0f}, func(m *machine) {
			m.SetRegs(func(r *kvm.Regs) {
				r.RDI, r.RAX, r.RDX, r.RBX, r.RCX, r.RFLAGS = dataGPA, 1, 2, 3, 4, 0x893
			})
			binary.LittleEndian.PutUint64(m.RAM[dataGPA:], 1)
			binary.LittleEndian.PutUint64(m.RAM[dataGPA+8:], 2)
		}},
		{"cmpxchg16b different", []byte{0xf0, 0x48, 0x0f, 0xc7, 0x0f}, func(m *machine) {
			m.SetRegs(func(r *kvm.Regs) { r.RDI, r.RAX, r.RDX, r.RBX, r.RCX, r.RFLAGS = dataGPA, 1, 2, 3, 4, 0x42 })
			binary.LittleEndian.PutUint64(m.RAM[dataGPA:], 7)
			binary.LittleEndian.PutUint64(m.RAM[dataGPA+8:], 8)
		}},
		{"rdfsbase rax", []byte{0xf3, 0x48, 0x0f, 0xae, 0xc0}, setBases},
		{"rdgsbase ecx", []byte{0xf3, 0x0f, 0xae, 0xc9}, setBases},
		{"fwait", []byte{0x9b}, func(*machine) {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			completed, native := both(t, tt.insn, tt.setup)
			if completed.regs != native.regs {
				t.Errorf("registers differ:\ncompleted %+v\nnative    %+v", completed.regs, native.regs)
			}
			if completed.data != native.data {
				t.Error("memory differs")
			}
		})
	}
}

func setBases(m *machine) {
	var s kvm.Sregs
	kvmtest.Must(m.t, m.VCPU.Sregs(&s))
	s.FS.Base, s.GS.Base = 0x7fff_1234_5000, 0x1234_5678_9000
	kvmtest.Must(m.t, m.VCPU.SetSregs(&s))
}

// TestWriteBases checks WRFSBASE and WRGSBASE by what reading them finds.
func TestWriteBases(t *testing.T) {
	wrfsbase, wrgsbase32 := []byte{0xf3, 0x48, 0x0f, 0xae, 0xd0}, []byte{0xf3, 0x0f, 0xae, 0xdb}
	m := newMachine(t, wrfsbase)
	m.SetRegs(func(r *kvm.Regs) { r.RAX, r.RBX = 0x1111_2222_3000, 0xffff_ffff_4444_5000 })
	for _, insn := range [][]byte{wrfsbase, wrgsbase32} {
		if ok, err := m.comp.Complete(m.VCPU, insn); !ok || err != nil {
			t.Fatalf("Complete = %v, %v", ok, err)
		}
	}
	var s kvm.Sregs
	kvmtest.Must(t, m.VCPU.Sregs(&s))
	if s.FS.Base != 0x1111_2222_3000 || s.GS.Base != 0x4444_5000 {
		t.Errorf("bases are %#x and %#x", s.FS.Base, s.GS.Base)
	}
}
