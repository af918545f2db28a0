// Package tinyguest is a guest of 133 bytes of machine code under KVM, whose
// processors do one access to memory or registers after another as a test says:
// for what no sound kernel does.
//
//	test ─▶ step in guest memory ─▶ vCPU executes the access ─▶ result ─▶ test
package tinyguest

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/boot/boottest"
	"github.com/bulkhead-vm/bulkhead/vmm/hostprofile"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
	"github.com/bulkhead-vm/bulkhead/vmm/machine"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Guest is a running machine. Its first CPU awaits orders.
type Guest struct {
	*CPU
	Memory *memory.Memory

	t       testing.TB
	machine *machine.Machine

	mu       sync.Mutex
	evidence map[string][]error
}

// Options describe a machine.
type Options struct {
	Memory  uint64 // bytes; 0 means machine.DefaultMemory
	CPUs    int    // 1 or 2; 0 means 1
	Devices []machine.Device
}

// New starts a machine, which must run until the test ends.
func New(t testing.TB, o Options) *Guest {
	t.Helper()
	g := &Guest{t: t, evidence: map[string][]error{}}
	var err error
	g.machine, err = machine.New(kvmtest.Open(t), machine.Config{
		CPUs: o.CPUs, Memory: o.Memory, Devices: o.Devices,
		Kernel:  bytes.NewReader(boottest.ELF{Code: code, Address: codeGPA}.Marshal()),
		Profile: hostprofile.Detect(), Report: g.report,
		Cmdline: "acpi=off", // the devices are where the command line says
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.close)
	g.Memory = g.machine.Memory()
	g.CPU = newCPU(t, g.Memory, 0)
	for gpa, b := range map[memory.GPA][]byte{trampolineGPA: trampoline, pageTablesGPA: pageTables()} {
		if err := g.Memory.WriteAt(b, gpa); err != nil {
			t.Fatal(err)
		}
	}
	g.machine.Start()
	return g
}

func (g *Guest) report(device string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.evidence[device] = append(g.evidence[device], err)
}

// Evidence returns what the machine has reported of a device since it was last
// asked.
func (g *Guest) Evidence(device string) []error {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.evidence[device]
	delete(g.evidence, device)
	return all
}

// close ends a machine that must not have ended by itself, within some seconds.
func (g *Guest) close() {
	select {
	case <-g.machine.Done():
		g.t.Errorf("the machine ended: %v", g.machine.End())
	default:
	}
	closed := make(chan error, 1)
	go func() { closed <- g.machine.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			g.t.Error(err)
		}
	case <-time.After(patience):
		g.t.Errorf("the machine can't be closed")
	}
}

// The local APIC; Intel SDM volume 3, section 12.6.1.
const (
	icrLow        = 0xfee00300
	initOthers    = 0xc4500
	startupOthers = 0xc4600 | trampolineGPA>>12
)

// Second starts the other CPU, which awaits orders then.
func (g *Guest) Second() *CPU {
	g.t.Helper()
	c := newCPU(g.t, g.Memory, 1)
	g.Write(icrLow, 4, initOthers).Wait()
	g.Write(icrLow, 4, startupOthers).Wait()
	c.Read(codeGPA, 1).Wait() // it is there
	return c
}

// Slots returns where the machine has told its guest that virtio devices are,
// in their order: on the kernel's command line.
func (g *Guest) Slots() (gpas []uint64) {
	g.t.Helper()
	const pointer = zeroPageGPA + 0x228 // boot_params.hdr.cmd_line_ptr
	at, err := g.Memory.Slice(pointer, 4)
	if err != nil {
		g.t.Fatal(err)
	}
	line, err := g.Memory.Slice(memory.GPA(memory.Load32(at, 0)), pageSize)
	if err != nil {
		g.t.Fatal(err)
	}
	line, _, _ = bytes.Cut(line, []byte{0})
	for _, word := range strings.Fields(string(line)) {
		var gpa uint64
		if n, _ := fmt.Sscanf(word, "virtio_mmio.device=4K@0x%x:", &gpa); n == 1 {
			gpas = append(gpas, gpa)
		}
	}
	return gpas
}
