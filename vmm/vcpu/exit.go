package vcpu

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// handle serves the exit that vcpu.Run just returned with.
func (c *CPU) handle() error {
	switch reason := c.vcpu.ExitReason(); reason {
	case kvm.ExitIO:
		c.handleIO()
		return nil
	case kvm.ExitMMIO:
		c.handleMMIO()
		return nil
	case kvm.ExitInternalError:
		return c.handleInternalError()
	case kvm.ExitShutdown:
		return &TripleFaultError{CPU: c.vcpu.ID, Regs: c.regs()}
	case kvm.ExitSystemEvent:
		return &SystemEventError{CPU: c.vcpu.ID, Event: SystemEvent(c.vcpu.SystemEvent())}
	case kvm.ExitIntr, kvm.ExitIRQWindowOpen:
		return nil
	case kvm.ExitFailEntry, kvm.ExitUnknown:
		return &HostError{CPU: c.vcpu.ID, Regs: c.regs(),
			Err: fmt.Errorf("KVM_RUN ended with %v, hardware reason %#x", reason, c.vcpu.HardwareReason())}
	default:
		return &HostError{CPU: c.vcpu.ID, Regs: c.regs(), Err: fmt.Errorf("KVM_RUN ended with %v", reason)}
	}
}

func (c *CPU) handleIO() {
	io := c.vcpu.IO()
	for data := io.Data; len(data) > 0; data = data[io.Size:] {
		if io.Write {
			c.pio.Write(uint64(io.Port), data[:io.Size])
		} else {
			c.pio.Read(uint64(io.Port), data[:io.Size])
		}
	}
}

func (c *CPU) handleMMIO() {
	mmio := c.vcpu.MMIO()
	if mmio.Write {
		c.mmio.Write(mmio.GPA, mmio.Data)
	} else {
		c.mmio.Read(mmio.GPA, mmio.Data)
	}
}

func (c *CPU) handleInternalError() error {
	e := c.vcpu.InternalError()
	if e.Suberror != kvm.SuberrorEmulation {
		return &HostError{CPU: c.vcpu.ID, Regs: c.regs(),
			Err: fmt.Errorf("KVM internal error, suberror %d, data %#x", e.Suberror, e.Data)}
	}
	if c.completer != nil {
		done, err := c.completer.Complete(c.vcpu, e.Insn)
		if err != nil {
			return &HostError{CPU: c.vcpu.ID, Regs: c.regs(), Err: err}
		}
		if done {
			return nil
		}
	}
	return &EmulationError{CPU: c.vcpu.ID, Insn: append([]byte(nil), e.Insn...), Regs: c.regs()}
}

// regs returns the registers for a report, zeroes if they can't be had.
func (c *CPU) regs() (r kvm.Regs) {
	c.vcpu.Regs(&r)
	return r
}
