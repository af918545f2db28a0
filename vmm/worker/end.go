package worker

import (
	"errors"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/machine"
	"github.com/bulkhead-vm/bulkhead/vmm/vcpu"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// report turns the end of a machine into what the API says of it.
func report(e machine.End, tail []byte) *vmmv1.WaitResponse {
	r := &vmmv1.WaitResponse{Reason: reason(e.Reason), ConsoleTail: tail}
	if e.Err != nil {
		r.Message = e.Err.Error()
	}
	var (
		emulation *vcpu.EmulationError
		fault     *vcpu.TripleFaultError
		host      *vcpu.HostError
	)
	switch {
	case errors.As(e.Err, &emulation):
		r.Instruction = emulation.Insn
		r.Registers = registers(emulation.CPU, &emulation.Regs)
	case errors.As(e.Err, &fault):
		r.Registers = registers(fault.CPU, &fault.Regs)
	case errors.As(e.Err, &host):
		r.Registers = registers(host.CPU, &host.Regs)
	}
	return r
}

func reason(r machine.Reason) vmmv1.EndReason {
	switch r {
	case machine.Stopped:
		return vmmv1.EndReason_END_REASON_STOPPED
	case machine.PowerOff:
		return vmmv1.EndReason_END_REASON_POWER_OFF
	case machine.Reboot:
		return vmmv1.EndReason_END_REASON_REBOOT
	case machine.GuestPanic:
		return vmmv1.EndReason_END_REASON_GUEST_PANIC
	case machine.TripleFault:
		return vmmv1.EndReason_END_REASON_TRIPLE_FAULT
	case machine.EmulationFailure:
		return vmmv1.EndReason_END_REASON_EMULATION_FAILURE
	}
	return vmmv1.EndReason_END_REASON_HOST_ERROR
}

func registers(cpu int, r *kvm.Regs) *vmmv1.Registers {
	return &vmmv1.Registers{
		Cpu: uint32(cpu), Rip: r.RIP, Rflags: r.RFLAGS,
		General: []uint64{
			r.RAX, r.RCX, r.RDX, r.RBX, r.RSP, r.RBP, r.RSI, r.RDI,
			r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15,
		},
	}
}
