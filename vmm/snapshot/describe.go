package snapshot

import (
	"encoding/binary"
	"fmt"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// describe fills in what the state tells of the machine, and which files there
// are.
func (m *Manifest) describe(s *statev1.Machine, files []*large) {
	m.CPUs = len(s.GetCpus())
	if m.CPUs > 0 {
		m.CPUVendor = vendor(s.GetCpus()[0].GetCpuid())
	}
	m.Devices = make([]Device, len(s.GetDevices()))
	for i, d := range s.GetDevices() {
		m.Devices[i] = Device{Name: d.GetName(), Type: typeName(d.GetType())}
		m.Transport = transportName(d)
		for _, l := range files {
			if l.name == d.GetName() {
				m.Devices[i].File, m.Devices[i].Bytes = l.name, l.size
			}
		}
	}
}

// vendor returns what CPUID's leaf 0 says in letters.
func vendor(entries []*statev1.CPUID) string {
	for _, e := range entries {
		if e.GetFunction() == 0 {
			b := binary.LittleEndian.AppendUint32(nil, e.GetEbx())
			b = binary.LittleEndian.AppendUint32(b, e.GetEdx())
			return string(binary.LittleEndian.AppendUint32(b, e.GetEcx()))
		}
	}
	return ""
}

func transportName(d *statev1.Device) string {
	if d.GetPci() != nil {
		return "pci"
	}
	return "mmio"
}

// typeName names a type of virtio device; virtio 1.2, section 5.
func typeName(id uint32) string {
	names := map[uint32]string{1: "net", 2: "blk", 4: "rng", 5: "balloon", 19: "vsock"}
	if name, ok := names[id]; ok {
		return name
	}
	return fmt.Sprintf("type %d", id)
}
