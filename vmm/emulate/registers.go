package emulate

import "github.com/bulkhead-vm/bulkhead/vmm/kvm"

// gpr returns general-purpose register n as instructions number them.
func gpr(r *kvm.Regs, n int) *uint64 {
	return [...]*uint64{
		&r.RAX, &r.RCX, &r.RDX, &r.RBX, &r.RSP, &r.RBP, &r.RSI, &r.RDI,
		&r.R8, &r.R9, &r.R10, &r.R11, &r.R12, &r.R13, &r.R14, &r.R15,
	}[n]
}

// operandSize is the width in bytes of an integer operand.
func (i *instruction) operandSize() int {
	switch {
	case i.rexW:
		return 8
	case i.data16:
		return 2
	}
	return 4
}

// setGPR writes the low size bytes of register n as the processor does: 32-bit
// results clear the upper half, 16-bit ones leave it.
func setGPR(r *kvm.Regs, n, size int, v uint64) {
	p := gpr(r, n)
	switch size {
	case 8:
		*p = v
	case 4:
		*p = v & 0xffff_ffff
	case 2:
		*p = *p&^0xffff | v&0xffff
	}
}

// address returns the linear address of the memory operand.
func (c *Completer) address() uint64 {
	m := &c.insn.memory
	a := uint64(m.disp)
	if m.base != noReg {
		a += *gpr(&c.regs, m.base)
	}
	if m.index != noReg {
		a += *gpr(&c.regs, m.index) << m.scale
	}
	if m.ripRelative {
		a += c.regs.RIP + uint64(c.insn.length)
	}
	if m.address32 {
		a &= 0xffff_ffff
	}
	switch c.insn.segment {
	case 0x64:
		a += c.sregs.FS.Base
	case 0x65:
		a += c.sregs.GS.Base
	}
	return a
}

// canonical reports whether a 48-bit (or, with LA57, 57-bit) linear address is
// sign-extended as the processor demands.
func (c *Completer) canonical(a uint64) bool {
	bits := uint(48)
	if c.sregs.CR4&cr4LA57 != 0 {
		bits = 57
	}
	return uint64(int64(a)<<(64-bits)>>(64-bits)) == a
}

// operandSpan translates the memory operand of n bytes. If it can't, stop is
// true and out says how the instruction ends.
func (c *Completer) operandSpan(n int, write bool) (s span, out outcome, stop bool) {
	a := c.address()
	if !c.canonical(a) {
		return s, raise(vectorGP), true
	}
	w := walker{mem: c.mem, sregs: &c.sregs, rflags: c.regs.RFLAGS}
	s, pf, ok := w.span(a, n, write)
	switch {
	case pf != nil:
		return s, raisePF(pf), true
	case !ok:
		return s, outcome{kind: unknown}, true
	}
	return s, outcome{}, false
}
