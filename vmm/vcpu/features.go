package vcpu

import (
	"fmt"
	"strings"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
)

// featureWord is a register of a CPUID leaf in which each bit is a feature.
type featureWord struct {
	function, index uint32
	register        register
	// ignore has the bits that KVM or the VMM makes up, whatever the processor:
	// they follow from the guest's own control registers or from the machine.
	ignore uint32
	// names are of the bits from 0 on, "-" for those without.
	names string
}

type register int

const (
	regEAX register = iota
	regEBX
	regECX
	regEDX
)

func (r register) String() string { return [...]string{"EAX", "EBX", "ECX", "EDX"}[r] }

// of returns the word as the entries have it.
func (w featureWord) of(entries []kvm.CPUIDEntry) uint32 {
	e := leaf(entries, w.function, w.index)
	return [...]uint32{e.EAX, e.EBX, e.ECX, e.EDX}[w.register]
}

// lacking returns the features that saved has and the host hasn't.
func (w featureWord) lacking(saved, host []kvm.CPUIDEntry) uint32 {
	return w.of(saved) &^ w.of(host) &^ w.ignore
}

// name names a bit as /proc/cpuinfo does, or by its place.
func (w featureWord) name(bit int) string {
	if names := strings.Fields(w.names); bit < len(names) && names[bit] != "-" {
		return names[bit]
	}
	return fmt.Sprintf("CPUID %#x.%d %v bit %d", w.function, w.index, w.register, bit)
}

// featureWords are all that tell of features; Intel SDM volume 2, CPUID, AMD APM
// volume 3, appendix E, and Linux' Documentation/virt/kvm/x86/cpuid.rst.
var featureWords = [...]featureWord{
	{function: leafFeatures, register: regECX, ignore: feature1ECXMonitor | feature1ECXTSCDeadline | feature1ECXOSXSave | feature1ECXHypervisor, names: `
		pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm
		- pcid dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave osxsave avx f16c rdrand hypervisor`},
	{function: leafFeatures, register: regEDX, ignore: feature1EDXAPIC | feature1EDXHTT, names: `
		fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov
		pat pse36 pn clflush - dts acpi mmx fxsr sse sse2 ss ht tm ia64 pbe`},
	{function: leafExtFeatures, register: regEBX, names: `
		fsgsbase tsc_adjust sgx bmi1 hle avx2 fdp_excptn_only smep bmi2 erms invpcid rtm cqm zero_fcs_fds mpx rdt_a
		avx512f avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl`},
	{function: leafExtFeatures, register: regECX, ignore: feature7ECXOSPKE, names: `
		prefetchwt1 avx512vbmi umip pku ospke waitpkg avx512_vbmi2 shstk gfni vaes vpclmulqdq avx512_vnni avx512_bitalg tme avx512_vpopcntdq -
		la57 - - - - - rdpid - bus_lock_detect cldemote - movdiri movdir64b enqcmd sgx_lc pks`},
	{function: leafExtFeatures, register: regEDX, names: `
		- - avx512_4vnniw avx512_4fmaps fsrm - - - avx512_vp2intersect srbds_ctrl md_clear rtm_always_abort - tsx_force_abort serialize hybrid_cpu
		tsxldtrk - pconfig arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile amx_int8 spec_ctrl intel_stibp flush_l1d arch_capabilities core_capabilities spec_ctrl_ssbd`},
	{function: leafExtFeatures, index: 1, register: regEAX, names: `
		sha512 sm3 sm4 - avx_vnni avx512_bf16 - cmpccxadd - - fzrm fsrs fsrc - - -
		- fred lkgs wrmsrns nmi_src amx_fp16 hreset avx_ifma - - lam msrlist - - - -`},
	{function: leafExtFeatures, index: 1, register: regEDX, names: `
		- - - - avx_vnni_int8 avx_ne_convert - - amx_complex - avx_vnni_int16 - - - prefetchiti -
		- - - avx10`},
	{function: leafExtFeatures, index: 2, register: regEDX, names: `psfd ipred_ctrl rrsba_ctrl ddpd_u bhi_ctrl mcdt_no`},
	{function: leafXSave, register: regEAX, names: `
		xcr0_x87 xcr0_sse xcr0_avx xcr0_bndregs xcr0_bndcsr xcr0_opmask xcr0_zmm_hi256 xcr0_hi16_zmm - xcr0_pkru - - - - - -
		- xcr0_tilecfg xcr0_tiledata`},
	{function: leafXSave, register: regEDX},
	{function: leafXSave, index: 1, register: regEAX, names: `xsaveopt xsavec xgetbv1 xsaves xfd`},
	{function: leafXSave, index: 1, register: regECX, names: `
		- - - - - - - - xss_pt - xss_pasid xss_cet_u xss_cet_s xss_hdc xss_uintr xss_lbr xss_hwp`},
	{function: leafXSave, index: 1, register: regEDX},
	{function: leafKVMFeatures, register: regEAX, names: `
		kvmclock kvm_nop_io_delay kvm_mmu kvmclock2 kvm_asyncpf kvm_steal_time kvm_pv_eoi kvm_pv_unhalt - kvm_pv_tlb_flush kvm_asyncpf_vmexit kvm_pv_ipi kvm_poll_control kvm_pv_sched_yield kvm_asyncpf_int kvm_msi_ext_dest_id
		kvm_hc_map_gpa_range kvm_migration_control - - - - - - kvmclock_stable`},
	{function: leafExtAMD, register: regECX, ignore: featureAMDECXCmpLegacy, names: `
		lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp
		fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc perfctr_llc mwaitx`},
	{function: leafExtAMD, register: regEDX, ignore: featureAMDEDXAPIC, names: `
		fpu vme de pse tsc msr pae mce cx8 apic - syscall mtrr pge mca cmov
		pat pse36 - mp nx - mmxext mmx fxsr fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow`},
	{function: leafPower, register: regEDX, names: `- - - - - - - - constant_tsc`},
	{function: leafSizes, register: regEBX, names: `
		clzero irperf xsaveerptr - rdpru - - - - wbnoinvd - - ibpb - ibrs stibp
		ibrs_always stibp_always_on ibrs_preferred ibrs_same_mode - - - amd_ppin ssbd virt_ssbd ssb_no cppc amd_psfd btc_no ibpb_ret`},
	{function: leafSVM, register: regEDX, names: `
		npt lbrv svm_lock nrip_save tsc_scale vmcb_clean flushbyasid decodeassists - - pausefilter - pfthreshold avic - v_vmsave_vmload
		vgif x2avic - - v_spec_ctrl - - - - vnmi`},
	{function: leafExtAMD2, register: regEAX, names: `
		no_nested_data_bp fsgs_non_serializing lfence_rdtsc - - verw_clear null_sel_clr_base - autoibrs no_smm_ctl_msr - - - - - -
		- - - - - - - - prefetchi - - sbpb ibpb_brtype srso_no srso_user_kernel_no`},
}
