package mmio

import (
	"github.com/bulkhead-vm/bulkhead/devices/virtio"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Save returns the state of the suspended device and of its registers.
func (t *Transport) Save() *statev1.Device {
	s := t.Common.Save()
	s.Transport = &statev1.Device_Mmio{Mmio: &statev1.MMIO{
		InterruptStatus:   t.interrupts.Load(),
		DeviceFeaturesSel: t.deviceFeaturesSel.Load(),
		DriverFeaturesSel: t.driverFeaturesSel.Load(),
		QueueSel:          t.queueSel.Load(),
	}}
	return s
}

// Restore takes what Save returned of another device; see virtio.Common.Restore.
func (t *Transport) Restore(s *statev1.Device) error {
	regs := s.GetMmio()
	if regs == nil {
		return &virtio.StateError{What: "it is behind another transport than virtio-mmio"}
	}
	if err := t.Common.Restore(s); err != nil {
		return err
	}
	t.interrupts.Store(regs.GetInterruptStatus())
	t.deviceFeaturesSel.Store(regs.GetDeviceFeaturesSel())
	t.driverFeaturesSel.Store(regs.GetDriverFeaturesSel())
	t.queueSel.Store(regs.GetQueueSel())
	return nil
}
