package worker

import (
	"github.com/bulkhead-vm/bulkhead/vmm/machine"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// deviceStats says what went through a machine's devices.
func deviceStats(m *machine.Machine) (all []*vmmv1.DeviceStats) {
	for _, d := range m.DeviceCounts() {
		all = append(all, &vmmv1.DeviceStats{
			Name: d.Name, Requests: d.Requests,
			FromGuestBytes: d.FromGuest, ToGuestBytes: d.ToGuest, Breaches: d.Breaches,
		})
	}
	return all
}
