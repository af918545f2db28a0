package kvm

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// TestABI asks the C compiler, with the kernel's own headers, for the size,
// offset or value behind each Go declaration of this package.
func TestABI(t *testing.T) {
	checks := slices.Concat(requestChecks(), capChecks(), exitReasonChecks(), constChecks(), sizeChecks(), offsetChecks())
	values := compileAndRun(t, checks)
	for i, c := range checks {
		if fmt.Sprint(c.got) != values[i] {
			t.Errorf("%s is %s in the kernel's headers, %d here", c.expr, values[i], c.got)
		}
	}
}

// check pairs a C expression with the value this package has for it.
type check struct {
	expr string
	got  uint64
}

func compileAndRun(t *testing.T, checks []check) []string {
	var src strings.Builder
	src.WriteString("#include <stdio.h>\n#include <stddef.h>\n#include <linux/kvm.h>\n#include <asm/kvm.h>\nint main(void) {\n")
	for _, c := range checks {
		fmt.Fprintf(&src, "printf(\"%%llu\\n\", (unsigned long long)(%s));\n", c.expr)
	}
	src.WriteString("return 0; }\n")

	prog := filepath.Join(t.TempDir(), "abi")
	cc := exec.Command("gcc", "-x", "c", "-o", prog, "-")
	cc.Stdin = strings.NewReader(src.String())
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v (make setup installs it)\n%s", err, out)
	}
	out, err := exec.Command(prog).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

func requestChecks() (checks []check) {
	for _, n := range requestNames {
		checks = append(checks, check{n.name, uint64(n.request)})
	}
	return checks
}

func capChecks() []check {
	return []check{
		{"KVM_CAP_IRQCHIP", uint64(CapIRQChip)},
		{"KVM_CAP_USER_MEMORY", uint64(CapUserMemory)},
		{"KVM_CAP_SET_TSS_ADDR", uint64(CapSetTSSAddr)},
		{"KVM_CAP_EXT_CPUID", uint64(CapExtCPUID)},
		{"KVM_CAP_NR_VCPUS", uint64(CapNrVCPUs)},
		{"KVM_CAP_NR_MEMSLOTS", uint64(CapNrMemslots)},
		{"KVM_CAP_MP_STATE", uint64(CapMPState)},
		{"KVM_CAP_IRQ_ROUTING", uint64(CapIRQRouting)},
		{"KVM_CAP_IRQFD", uint64(CapIRQFD)},
		{"KVM_CAP_PIT2", uint64(CapPIT2)},
		{"KVM_CAP_PIT_STATE2", uint64(CapPITState2)},
		{"KVM_CAP_IOEVENTFD", uint64(CapIOEventFD)},
		{"KVM_CAP_SET_IDENTITY_MAP_ADDR", uint64(CapSetIdentityMapAddr)},
		{"KVM_CAP_ADJUST_CLOCK", uint64(CapAdjustClock)},
		{"KVM_CAP_VCPU_EVENTS", uint64(CapVCPUEvents)},
		{"KVM_CAP_DEBUGREGS", uint64(CapDebugRegs)},
		{"KVM_CAP_XSAVE", uint64(CapXSave)},
		{"KVM_CAP_XCRS", uint64(CapXCRs)},
		{"KVM_CAP_TSC_CONTROL", uint64(CapTSCControl)},
		{"KVM_CAP_GET_TSC_KHZ", uint64(CapGetTSCKHz)},
		{"KVM_CAP_MAX_VCPUS", uint64(CapMaxVCPUs)},
		{"KVM_CAP_KVMCLOCK_CTRL", uint64(CapKVMClockCtrl)},
		{"KVM_CAP_SIGNAL_MSI", uint64(CapSignalMSI)},
		{"KVM_CAP_READONLY_MEM", uint64(CapReadonlyMem)},
		{"KVM_CAP_MAX_VCPU_ID", uint64(CapMaxVCPUID)},
		{"KVM_CAP_IMMEDIATE_EXIT", uint64(CapImmediateExit)},
		{"KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2", uint64(CapManualDirtyLogProtect2)},
		{"KVM_CAP_EXIT_ON_EMULATION_FAILURE", uint64(CapExitOnEmulationFailure)},
		{"KVM_CAP_XSAVE2", uint64(CapXSave2)},
	}
}

func exitReasonChecks() (checks []check) {
	for r := range ExitReason(64) {
		if name := r.String(); !strings.HasPrefix(name, "exit reason") {
			checks = append(checks, check{"KVM_EXIT_" + name, uint64(r)})
		}
	}
	return checks
}

func constChecks() []check {
	return []check{
		{"KVM_API_VERSION", APIVersion},
		{"KVM_MEM_LOG_DIRTY_PAGES", memLogDirtyPages},
		{"KVM_MEM_READONLY", memReadonly},
		{"KVM_IRQCHIP_PIC_MASTER", ChipPICMaster},
		{"KVM_IRQCHIP_PIC_SLAVE", ChipPICSlave},
		{"KVM_IRQCHIP_IOAPIC", ChipIOAPIC},
		{"KVM_PIT_SPEAKER_DUMMY", pitSpeakerDummy},
		{"KVM_IRQFD_FLAG_DEASSIGN", irqfdDeassign},
		{"KVM_IOEVENTFD_FLAG_DATAMATCH", ioeventfdDatamatch},
		{"KVM_IOEVENTFD_FLAG_PIO", ioeventfdPIO},
		{"KVM_IOEVENTFD_FLAG_DEASSIGN", ioeventfdDeassign},
		{"KVM_IRQ_ROUTING_IRQCHIP", routingIRQChip},
		{"KVM_IRQ_ROUTING_MSI", routingMSI},
		{"KVM_CPUID_FLAG_SIGNIFCANT_INDEX", CPUIDFlagSignificantIndex},
		{"KVM_MP_STATE_RUNNABLE", uint64(MPStateRunnable)},
		{"KVM_MP_STATE_UNINITIALIZED", uint64(MPStateUninitialized)},
		{"KVM_MP_STATE_INIT_RECEIVED", uint64(MPStateInitReceived)},
		{"KVM_MP_STATE_HALTED", uint64(MPStateHalted)},
		{"KVM_MP_STATE_SIPI_RECEIVED", uint64(MPStateSIPIReceived)},
		{"KVM_INTERNAL_ERROR_EMULATION", SuberrorEmulation},
		{"KVM_EXIT_IO_OUT", 1},
	}
}

func sizeChecks() []check {
	return []check{
		sizeof[Regs]("kvm_regs"), sizeof[Segment]("kvm_segment"), sizeof[DTable]("kvm_dtable"),
		sizeof[Sregs]("kvm_sregs"), sizeof[FPU]("kvm_fpu"), sizeof[XSave]("kvm_xsave"), sizeof[XCR]("kvm_xcr"),
		sizeof[XCRs]("kvm_xcrs"), sizeof[DebugRegs]("kvm_debugregs"), sizeof[LAPIC]("kvm_lapic_state"),
		sizeof[MPState]("kvm_mp_state"), sizeof[VCPUEvents]("kvm_vcpu_events"),
		sizeof[CPUIDEntry]("kvm_cpuid_entry2"), sizeof[MSREntry]("kvm_msr_entry"),
		sizeof[Translation]("kvm_translation"), sizeof[IRQChip]("kvm_irqchip"),
		sizeof[PITChannel]("kvm_pit_channel_state"), sizeof[PIT]("kvm_pit_state2"),
		sizeof[pitConfig]("kvm_pit_config"), sizeof[Clock]("kvm_clock_data"),
		sizeof[userMemoryRegion]("kvm_userspace_memory_region"), sizeof[dirtyLog]("kvm_dirty_log"),
		sizeof[clearDirtyLog]("kvm_clear_dirty_log"), sizeof[irqLevel]("kvm_irq_level"),
		sizeof[irqfd]("kvm_irqfd"), sizeof[ioeventfd]("kvm_ioeventfd"), sizeof[MSI]("kvm_msi"),
		sizeof[enableCap]("kvm_enable_cap"), sizeof[routingEntry]("kvm_irq_routing_entry"),
	}
}

func sizeof[T any](cType string) check {
	var v T
	return check{"sizeof(struct " + cType + ")", uint64(unsafe.Sizeof(v))}
}

func offsetChecks() []check {
	off := func(cType, field string, got uintptr) check {
		return check{fmt.Sprintf("offsetof(struct %s, %s)", cType, field), uint64(got)}
	}
	return []check{
		off("kvm_regs", "rip", unsafe.Offsetof(Regs{}.RIP)),
		off("kvm_regs", "r8", unsafe.Offsetof(Regs{}.R8)),
		off("kvm_segment", "selector", unsafe.Offsetof(Segment{}.Selector)),
		off("kvm_segment", "l", unsafe.Offsetof(Segment{}.L)),
		off("kvm_segment", "unusable", unsafe.Offsetof(Segment{}.Unusable)),
		off("kvm_sregs", "tr", unsafe.Offsetof(Sregs{}.TR)),
		off("kvm_sregs", "cr3", unsafe.Offsetof(Sregs{}.CR3)),
		off("kvm_sregs", "efer", unsafe.Offsetof(Sregs{}.EFER)),
		off("kvm_sregs", "interrupt_bitmap", unsafe.Offsetof(Sregs{}.InterruptBitmap)),
		off("kvm_fpu", "last_opcode", unsafe.Offsetof(FPU{}.LastOpcode)),
		off("kvm_fpu", "xmm", unsafe.Offsetof(FPU{}.XMM)),
		off("kvm_fpu", "mxcsr", unsafe.Offsetof(FPU{}.MXCSR)),
		off("kvm_xcrs", "xcrs", unsafe.Offsetof(XCRs{}.List)),
		off("kvm_vcpu_events", "nmi", unsafe.Offsetof(VCPUEvents{}.NMI)),
		off("kvm_vcpu_events", "flags", unsafe.Offsetof(VCPUEvents{}.Flags)),
		off("kvm_vcpu_events", "triple_fault", unsafe.Offsetof(VCPUEvents{}.TripleFaultPending)),
		off("kvm_vcpu_events", "exception_payload", unsafe.Offsetof(VCPUEvents{}.ExceptionPayload)),
		off("kvm_cpuid_entry2", "eax", unsafe.Offsetof(CPUIDEntry{}.EAX)),
		off("kvm_pit_channel_state", "gate", unsafe.Offsetof(PITChannel{}.Gate)),
		off("kvm_clock_data", "host_tsc", unsafe.Offsetof(Clock{}.HostTSC)),
		off("kvm_userspace_memory_region", "userspace_addr", unsafe.Offsetof(userMemoryRegion{}.userspaceAddr)),
		off("kvm_dirty_log", "dirty_bitmap", unsafe.Offsetof(dirtyLog{}.bitmap)),
		off("kvm_clear_dirty_log", "dirty_bitmap", unsafe.Offsetof(clearDirtyLog{}.bitmap)),
		off("kvm_ioeventfd", "flags", unsafe.Offsetof(ioeventfd{}.flags)),
		off("kvm_enable_cap", "args", unsafe.Offsetof(enableCap{}.args)),
		off("kvm_irq_routing_entry", "u", unsafe.Offsetof(routingEntry{}.u)),
		off("kvm_irq_routing_entry", "u.irqchip.pin", unsafe.Offsetof(routingEntry{}.u)+4),
		off("kvm_irq_routing_entry", "u.msi.address_hi", unsafe.Offsetof(routingEntry{}.u)+4),
		off("kvm_irq_routing_entry", "u.msi.data", unsafe.Offsetof(routingEntry{}.u)+8),
		off("kvm_cpuid2", "entries", unsafe.Offsetof(cpuid2{}.entries)),
		off("kvm_msrs", "entries", unsafe.Offsetof(msrs{}.entries)),
		off("kvm_msr_list", "indices", unsafe.Offsetof(msrList{}.indices)),
		off("kvm_irq_routing", "entries", unsafe.Offsetof(routing{}.entries)),
		off("kvm_run", "immediate_exit", unsafe.Offsetof(runPage{}.immediateExit)),
		off("kvm_run", "exit_reason", unsafe.Offsetof(runPage{}.exitReason)),
		off("kvm_run", "io", unsafe.Offsetof(runPage{}.exit)),
	}
}
