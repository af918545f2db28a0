package emulate

import (
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Completer completes instructions for one vCPU, on the goroutine that runs
// it. It keeps its working memory from one call to the next.
type Completer struct {
	mem   *memory.Memory
	xsave []component
	area  []byte // what KVM_GET_XSAVE fills

	v     *kvm.VCPU
	insn  instruction
	regs  kvm.Regs
	sregs kvm.Sregs

	sregsChanged bool
}

// New returns a Completer for a vCPU of a machine with the given memory.
// supported is what the host's KVM offers guests, xsaveSize the size of its
// XSAVE areas (kvm.VM.XSaveSize).
func New(mem *memory.Memory, supported []kvm.CPUIDEntry, xsaveSize int) *Completer {
	return &Completer{mem: mem, xsave: xsaveComponents(supported), area: make([]byte, xsaveSize)}
}

// outcome says how an instruction ended.
type outcome struct {
	kind  outcomeKind
	fault vector
	code  uint32 // the fault's error code
	cr2   uint64 // for a page fault
}

type outcomeKind int

const (
	unknown outcomeKind = iota // not ours: the failure stands
	done                       // go on after the instruction
	trap                       // go on after it, with an exception
	fault                      // an exception instead of it
)

// vector is an exception vector; Intel SDM volume 3, table 6-1.
type vector uint8

const (
	vectorBP vector = 3
	vectorUD vector = 6
	vectorNM vector = 7
	vectorGP vector = 13
	vectorPF vector = 14
)

func completed() outcome     { return outcome{kind: done} }
func raise(v vector) outcome { return outcome{kind: fault, fault: v} }
func raisePF(pf *pageFault) outcome {
	return outcome{kind: fault, fault: vectorPF, code: pf.code, cr2: pf.address}
}

// Complete carries out insn, the bytes at v's RIP, if it is one of those this
// package knows, in 64-bit supervisor code. It reports false, with the vCPU
// unchanged, if not. An error means that the host refused to read or write the
// vCPU's state.
func (c *Completer) Complete(v *kvm.VCPU, insn []byte) (bool, error) {
	var ok bool
	if c.insn, ok = decode(insn); !ok {
		return false, nil
	}
	op := lookup(&c.insn)
	if op == nil {
		return false, nil
	}
	c.v, c.sregsChanged = v, false
	if err := v.Regs(&c.regs); err != nil {
		return false, err
	}
	if err := v.Sregs(&c.sregs); err != nil {
		return false, err
	}
	if c.sregs.CS.L == 0 || c.sregs.SS.DPL != 0 {
		return false, nil
	}
	out, err := op(c)
	if err != nil || out.kind == unknown {
		return false, err
	}
	return true, c.commit(out)
}

// commit writes back registers and queues the exception, if any.
func (c *Completer) commit(out outcome) error {
	if out.kind != fault {
		c.regs.RIP += uint64(c.insn.length)
		if err := c.v.SetRegs(&c.regs); err != nil {
			return err
		}
	}
	if out.fault == vectorPF {
		c.sregs.CR2 = out.cr2
		c.sregsChanged = true
	}
	if c.sregsChanged {
		if err := c.v.SetSregs(&c.sregs); err != nil {
			return err
		}
	}
	if out.kind == done {
		return nil
	}
	return c.inject(out)
}

func (c *Completer) inject(out outcome) error {
	var e kvm.VCPUEvents
	if err := c.v.Events(&e); err != nil {
		return err
	}
	e.Exception.Injected = 1
	e.Exception.Vector = uint8(out.fault)
	e.Exception.HasErrorCode = 0
	e.Exception.ErrorCode = 0
	if out.fault == vectorGP || out.fault == vectorPF {
		e.Exception.HasErrorCode = 1
		e.Exception.ErrorCode = out.code
	}
	return c.v.SetEvents(&e)
}
