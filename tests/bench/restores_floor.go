package main

import (
	"encoding/binary"
	"os"
	"path/filepath"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// floorState writes what the floor needs to restore a machine: see restore in
// floor.c.
func (b *bench) floorState(dir string) (path string, err error) {
	s, err := snapshot.Open(dir)
	if err != nil {
		return "", err
	}
	defer s.Close()
	cpu, chips := s.State.GetCpus()[0], s.State.GetChips()
	le := binary.LittleEndian
	clock := make([]byte, 48) // kvm_clock_data
	le.PutUint64(clock, chips.GetClockNs())
	var all []byte
	for _, r := range [][]byte{
		cpuid(cpu), le.AppendUint32(nil, cpu.GetMpState()), cpu.GetRegs(), cpu.GetSregs(), cpu.GetXcrs(), cpu.GetXsave(),
		cpu.GetDebugRegs(), cpu.GetLapic(), msrs(cpu), cpu.GetEvents(),
		chip(0, chips.GetPicMaster()), chip(1, chips.GetPicSlave()), chip(2, chips.GetIoapic()), chips.GetPit(), clock,
	} {
		all = append(le.AppendUint32(all, uint32(len(r))), r...)
	}
	path = filepath.Join(b.work, "state.floor")
	return path, os.WriteFile(path, all, 0o600)
}

// cpuid is a kvm_cpuid2.
func cpuid(c *statev1.CPU) []byte {
	le := binary.LittleEndian
	b := le.AppendUint64(nil, uint64(len(c.GetCpuid())))
	for _, e := range c.GetCpuid() {
		for _, v := range []uint32{e.GetFunction(), e.GetIndex(), e.GetFlags(), e.GetEax(), e.GetEbx(), e.GetEcx(), e.GetEdx(), 0, 0, 0} {
			b = le.AppendUint32(b, v)
		}
	}
	return b
}

// msrs is a kvm_msrs.
func msrs(c *statev1.CPU) []byte {
	le := binary.LittleEndian
	b := le.AppendUint64(nil, uint64(len(c.GetMsrs())))
	for _, m := range c.GetMsrs() {
		b = le.AppendUint64(b, uint64(m.GetIndex()))
		b = le.AppendUint64(b, m.GetValue())
	}
	return b
}

// chip is a kvm_irqchip.
func chip(id uint64, state []byte) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, id), state...)
}
