package emulate

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// Flags and control bits; Intel SDM volume 3, sections 2.3 and 2.5.
const (
	flagCF      = 1 << 0
	flagZF      = 1 << 6
	flagsStatus = flagCF | 1<<2 | 1<<4 | flagZF | 1<<7 | 1<<11 // CF PF AF ZF SF OF

	cr4PGE      = 1 << 7
	cr4FSGSBASE = 1 << 16

	msrTSC    = 0x10
	msrTSCAux = 0xc0000103
)

// int3 traps: the handler sees the address after it.
func int3(*Completer) (outcome, error) { return outcome{kind: trap, fault: vectorBP}, nil }

// fwait waits for x87 exceptions, which the kernel of a guest has no use for.
func fwait(*Completer) (outcome, error) { return completed(), nil }

func clac(c *Completer) (outcome, error) {
	c.regs.RFLAGS &^= rflagsAC
	return completed(), nil
}

func stac(c *Completer) (outcome, error) {
	c.regs.RFLAGS |= rflagsAC
	return completed(), nil
}

func popcnt(c *Completer) (outcome, error) {
	i := &c.insn
	size := i.operandSize()
	var v uint64
	if i.isReg {
		v = *gpr(&c.regs, i.rm)
	} else {
		s, out, stop := c.operandSpan(size, false)
		if stop {
			return out, nil
		}
		var b [8]byte
		s.read(b[:size], 0)
		v = binary.LittleEndian.Uint64(b[:])
	}
	v &= 1<<(8*size) - 1
	c.regs.RFLAGS &^= flagsStatus
	if v == 0 {
		c.regs.RFLAGS |= flagZF
	}
	setGPR(&c.regs, i.reg, size, uint64(bits.OnesCount64(v)))
	return completed(), nil
}

// rdrand serves RDSEED as well.
func rdrand(c *Completer) (outcome, error) {
	var b [8]byte
	rand.Read(b[:]) // never fails
	setGPR(&c.regs, c.insn.rm, c.insn.operandSize(), binary.LittleEndian.Uint64(b[:]))
	c.regs.RFLAGS = c.regs.RFLAGS&^flagsStatus | flagCF
	return completed(), nil
}

// fsgsbase serves RDFSBASE, RDGSBASE, WRFSBASE and WRGSBASE.
func fsgsbase(c *Completer) (outcome, error) {
	if c.sregs.CR4&cr4FSGSBASE == 0 {
		return raise(vectorUD), nil
	}
	base := &c.sregs.FS.Base
	if c.insn.group()&1 != 0 {
		base = &c.sregs.GS.Base
	}
	if c.insn.group() < 2 {
		setGPR(&c.regs, c.insn.rm, c.insn.operandSize(), *base)
		return completed(), nil
	}
	v := *gpr(&c.regs, c.insn.rm)
	if !c.insn.rexW {
		v &= 0xffff_ffff
	}
	if !c.canonical(v) {
		return raise(vectorGP), nil
	}
	*base = v
	c.sregsChanged = true
	return completed(), nil
}

func rdpid(c *Completer) (outcome, error) {
	msrs := []kvm.MSREntry{{Index: msrTSCAux}}
	if _, err := c.v.MSRs(msrs); err != nil {
		return outcome{}, err
	}
	*gpr(&c.regs, c.insn.rm) = msrs[0].Data & 0xffff_ffff
	return completed(), nil
}

func rdtscp(c *Completer) (outcome, error) {
	msrs := []kvm.MSREntry{{Index: msrTSC}, {Index: msrTSCAux}}
	if _, err := c.v.MSRs(msrs); err != nil {
		return outcome{}, err
	}
	c.regs.RAX = msrs[0].Data & 0xffff_ffff
	c.regs.RDX = msrs[0].Data >> 32
	c.regs.RCX = msrs[1].Data & 0xffff_ffff
	return completed(), nil
}

// invpcid drops every translation the vCPU holds, whichever were asked for:
// KVM does so when CR4.PGE changes.
func invpcid(c *Completer) (outcome, error) {
	toggled := c.sregs
	toggled.CR4 ^= cr4PGE
	if err := c.v.SetSregs(&toggled); err != nil {
		return outcome{}, err
	}
	c.sregsChanged = true
	return completed(), nil
}
