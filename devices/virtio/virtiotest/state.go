package virtiotest

import (
	"github.com/bulkhead-vm/bulkhead/devices/virtio"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Suspend has the device rest. The driver is a vCPU, which is out of the guest: it
// does nothing until Resume.
func (h *Harness) Suspend() {
	if h.port == nil {
		h.Device.Suspend()
	} else {
		h.port.Suspend()
	}
}

// Resume lets the device go on.
func (h *Harness) Resume() {
	h.t.Helper()
	if h.port == nil {
		h.Device.Resume()
	} else if err := h.port.Resume(); err != nil {
		h.t.Fatal(err)
	}
}

// Save returns the state of the suspended device, which has a transport.
func (h *Harness) Save() *statev1.Machine {
	h.t.Helper()
	return h.port.Machine(h.t)
}

// Restore has dev, which is new, begin where the device was whose state m is, as
// Move does. That one rests until the test ends.
func (h *Harness) Restore(dev virtio.Device, m *statev1.Machine) {
	h.t.Helper()
	p := PlugRestored(h.t, h.port.Transport, dev, h.Heap.Mem, h.fail, m)
	h.t.Cleanup(func() { p.Close() })
	h.Device, h.port = dev, p
	for i := range h.interrupts {
		h.interrupts[i] = p.Interrupt(i)
	}
	h.Resume()
}
