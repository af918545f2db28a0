package vcpu

import (
	"errors"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
)

// TestProcessorStartsAfterMove moves a machine of two processors twice while the
// first starts the second: before, and between INIT and SIPI.
func TestProcessorStartsAfterMove(t *testing.T) {
	const portInit, portSIPI, portSecond = 0xe0, 0xe1, 0xe2
	g := kvmtest.New(t, []byte{
		0x66, 0xb9, 0x1b, 0, 0, 0, // mov ecx, IA32_APIC_BASE
		0x0f, 0x32, // rdmsr
		0x0d, 0x00, 0x0c, // or ax, 0xc00        ; enabled, x2APIC
		0x0f, 0x30, // wrmsr
		0x66, 0xb9, 0x30, 0x08, 0, 0, // mov ecx, the x2APIC's ICR
		0x66, 0x31, 0xd2, // xor edx, edx
		0xe6, portInit, // out portInit, al
		0x66, 0xb8, 0x00, 0x45, 0x0c, 0, // mov eax, INIT to all but self
		0x0f, 0x30, // wrmsr
		0xe6, portSIPI, // out portSIPI, al
		0x66, 0xb8, 0x04, 0x46, 0x0c, 0, // mov eax, SIPI for 0x4000 to all but self
		0x0f, 0x30, // wrmsr
		0xeb, 0xfe, // jmp to itself
	}, kvmtest.WithPIT)
	copy(g.RAM[0x4000:], []byte{
		0xe6, portSecond, // out portSecond, al
		0xeb, 0xfe, // jmp to itself
	})
	second, err := g.VM.CreateVCPU(1)
	kvmtest.Must(t, err)
	defer second.Close()
	for _, v := range []*kvm.VCPU{g.VCPU, second} {
		kvmtest.Must(t, Template{CPUs: 2}.Reset(v, supportedBy(t, g)))
	}
	port := new(log)
	for _, stage := range []struct {
		port   uint64
		second kvm.MPState
	}{
		{portInit, kvm.MPStateUninitialized},
		{portSIPI, kvm.MPStateInitReceived},
		{portSecond, kvm.MPStateRunnable},
	} {
		runUntil(t, port, stage.port, g.VCPU, second)
		s := saveGuest(t, g, g.VCPU, second)
		if got := kvm.MPState(s.Cpus[1].MpState); got != stage.second {
			t.Errorf("the second processor is in MP state %d, want %d", got, stage.second)
		}
		var others []*kvm.VCPU
		g, others = restoreGuest(t, g.RAM, s)
		second = others[0]
	}
}

// runUntil runs the vCPUs up to a write to the port.
func runUntil(t *testing.T, device *log, port uint64, vcpus ...*kvm.VCPU) {
	t.Helper()
	stopAt := &stopper{log: device, port: port}
	var cpus []*CPU
	for _, v := range vcpus {
		cpus = append(cpus, New(v, stopAt, device, nil, nil))
	}
	stopAt.stop = func() {
		for _, c := range cpus {
			c.Stop()
		}
	}
	timeout := time.AfterFunc(10*time.Second, stopAt.stop)
	defer timeout.Stop()
	ended := make(chan error, len(cpus))
	for _, c := range cpus {
		go func() { ended <- c.Run() }()
	}
	var errs []error
	for range cpus {
		errs = append(errs, <-ended)
	}
	kvmtest.Must(t, errors.Join(errs...))
	if n := len(device.at(port)); n != 1 {
		t.Fatalf("%d writes to port %#x", n, port)
	}
}

// stopper is a log that calls stop at a write to its port.
type stopper struct {
	*log
	port uint64
	stop func()
}

func (s *stopper) Write(port uint64, data []byte) {
	s.log.Write(port, data)
	if port == s.port {
		s.stop()
	}
}
