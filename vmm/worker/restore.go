package worker

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/vmm/hostprofile"
	"github.com/bulkhead-vm/bulkhead/vmm/machine"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// openSnapshot has the machine go on from the snapshot at path.
func (p *parts) openSnapshot(path string, c *vmmv1.MachineConfig, o *vmmv1.MemoryOptions) error {
	s, err := snapshot.Open(path)
	if err != nil {
		return err
	}
	p.snapshot = s
	p.resources = append(p.resources, s)
	if err := matches(s.Manifest, c); err != nil {
		return err
	}
	if n := len(s.State.GetCpus()); n != s.Manifest.CPUs { // which its owner goes by, and counts
		return fmt.Errorf("the snapshot's manifest says that the machine has %d CPUs, its state has %d: take another snapshot", s.Manifest.CPUs, n)
	}
	p.machine.State, p.machine.CPUs = s.State, len(s.State.GetCpus())
	if s.Manifest.Transport == machine.PCI.String() {
		p.machine.Transport = machine.PCI
	}
	if p.machine.RAM, err = openMemory(s, o); err != nil {
		return err
	}
	p.resources = append(p.resources, p.machine.RAM) // which may be closed twice
	return nil
}

// matches says what a configuration wants that the snapshot's machine isn't.
func matches(m *snapshot.Manifest, c *vmmv1.MachineConfig) error {
	switch host := hostprofile.Detect().String(); {
	case m.HostProfile != host:
		return fmt.Errorf("the snapshot was made where KVM is %s, here it is %s: restore it on a host like that", m.HostProfile, host)
	case c.GetCpus() != 0 && int(c.GetCpus()) != m.CPUs:
		return fmt.Errorf("the snapshot's machine has %d CPUs, not %d", m.CPUs, c.GetCpus())
	case c.GetMemoryBytes() != 0 && c.GetMemoryBytes() != m.MemoryBytes:
		return fmt.Errorf("the snapshot's machine has %d MiB of memory, not %d", m.MemoryBytes>>20, c.GetMemoryBytes()>>20)
	}
	return nil
}
