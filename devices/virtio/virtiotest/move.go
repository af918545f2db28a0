package virtiotest

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// transport is what a Port has behind its registers.
type transport interface {
	Save() *statev1.Device
	Restore(*statev1.Device) error
}

// Save returns the state of the port and its suspended device.
func (p *Port) Save() *statev1.Device { return p.transport.Save() }

// Restore takes the state of another port and its device, which Resume begins.
func (p *Port) Restore(s *statev1.Device) error { return p.transport.Restore(s) }

// Machine returns the state of a suspended port with what is around it, as it
// would be read from a file.
func (p *Port) Machine(t testing.TB) *statev1.Machine {
	t.Helper()
	m := &statev1.Machine{Devices: []*statev1.Device{p.Save()}}
	if p.Board != nil {
		m.PciRoot = p.Board.Root.Save()
	}
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	again := new(statev1.Machine)
	if err := proto.Unmarshal(b, again); err != nil {
		t.Fatal(err)
	}
	return again
}

// PlugRestored puts dev, which is new, behind a transport where another is that
// Machine returned the state of. Resume begins it. The caller closes the port.
func PlugRestored(t testing.TB, transport Transport, dev virtio.Device, mem *memory.Memory, report func(error), m *statev1.Machine) *Port {
	t.Helper()
	p := PlugBare(t, transport, dev, mem, report)
	if err := p.Restore(m.GetDevices()[0]); err != nil {
		t.Fatal(err)
	}
	if p.Board != nil {
		if err := p.Board.Root.Restore(m.GetPciRoot()); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// Move has dev, which is new, go on where the device is, behind another port: one
// is suspended and saved, the other restored and resumed, as a machine is that goes
// on from a snapshot. The driver notices nothing.
func (h *Harness) Move(dev virtio.Device) {
	h.t.Helper()
	h.Suspend()
	h.Restore(dev, h.Save())
}

// Port returns what the driver reaches the device by, nil without a transport.
func (h *Harness) Port() *Port { return h.port }
