package pci

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Save returns the state of the suspended device and of its registers. The
// function's header is the bus's, which saves it.
func (t *Transport) Save() *statev1.Device {
	regs := &statev1.PCI{
		Isr:               t.isr.Load(),
		DeviceFeaturesSel: t.deviceFeaturesSel.Load(),
		DriverFeaturesSel: t.driverFeaturesSel.Load(),
		QueueSel:          t.queueSel.Load(),
		ConfigVector:      t.configVector.Load(),
		ConfigGeneration:  t.generation.Load(),
		SeenGeneration:    t.seen.Load(),
		Msix:              t.msix.Save(),
		Window:            t.window.save(),
	}
	for i := range t.queueVectors {
		regs.QueueVectors = append(regs.QueueVectors, t.queueVectors[i].Load())
	}
	s := t.Common.Save()
	s.Transport = &statev1.Device_Pci{Pci: regs}
	return s
}

// Restore takes what Save returned of another device; see virtio.Common.Restore.
// Its doorbells come with the bus's Restore.
func (t *Transport) Restore(s *statev1.Device) error {
	regs := s.GetPci()
	if regs == nil {
		return &virtio.StateError{What: "it is behind another transport than virtio-pci"}
	}
	if what := t.cannotHave(regs); what != "" {
		return &virtio.StateError{What: what}
	}
	if err := t.Common.Restore(s); err != nil {
		return err
	}
	t.isr.Store(regs.GetIsr())
	t.deviceFeaturesSel.Store(regs.GetDeviceFeaturesSel())
	t.driverFeaturesSel.Store(regs.GetDriverFeaturesSel())
	t.queueSel.Store(regs.GetQueueSel())
	t.configVector.Store(regs.GetConfigVector())
	for i, v := range regs.GetQueueVectors() {
		t.queueVectors[i].Store(v)
	}
	t.generation.Store(regs.GetConfigGeneration())
	t.seen.Store(regs.GetSeenGeneration())
	t.window.restore(regs.GetWindow())
	// Last: a vector that can't be routed has the device ask for a reset.
	if err := t.msix.Restore(regs.GetMsix()); err != nil {
		return &virtio.StateError{What: err.Error()}
	}
	return nil
}

// cannotHave says what of regs no driver could have brought about here, "" if
// there is nothing.
func (t *Transport) cannotHave(regs *statev1.PCI) string {
	switch {
	case regs.GetIsr()&^(isrQueue|isrConfig) != 0:
		return fmt.Sprintf("ISR status %#x", regs.GetIsr())
	case regs.GetQueueSel() > 0xffff:
		return fmt.Sprintf("queue %#x selected", regs.GetQueueSel())
	case t.vector(regs.GetConfigVector()) != regs.GetConfigVector():
		return fmt.Sprintf("interrupt vector %#x of the configuration", regs.GetConfigVector())
	case len(regs.GetQueueVectors()) != len(t.queueVectors):
		return fmt.Sprintf("interrupt vectors of %d queues, this device has %d", len(regs.GetQueueVectors()), len(t.queueVectors))
	case regs.GetWindow().GetBar() > 0xff:
		return fmt.Sprintf("configuration access to BAR %#x", regs.GetWindow().GetBar())
	}
	for i, v := range regs.GetQueueVectors() {
		if t.vector(v) != v {
			return fmt.Sprintf("interrupt vector %#x of queue %d", v, i)
		}
	}
	return ""
}
