package pci

import (
	"sync/atomic"

	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/pci/msix"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Platform is what a transport needs of its machine. It may be called from any
// goroutine.
type Platform interface {
	// NewVector makes a way for an interrupt; it stays the platform's.
	NewVector() (msix.Vector, error)
	// AttachDoorbell has every guest write to gpa, of any width, signal kick
	// without leaving the guest, until DetachDoorbell with the same arguments.
	AttachDoorbell(gpa uint64, kick *eventfd.EventFD) error
	DetachDoorbell(gpa uint64, kick *eventfd.EventFD) error
}

// Transport is a device's configuration space, its BAR and its interrupts.
type Transport struct {
	*virtio.Common
	platform Platform
	msix     *msix.Table
	window   *window

	isr atomic.Uint32
	// What the driver selected. Drivers serialise their own accesses; if they
	// don't, they may hit another queue of theirs.
	deviceFeaturesSel atomic.Uint32
	driverFeaturesSel atomic.Uint32
	queueSel          atomic.Uint32
	// The vectors of events.
	configVector atomic.Uint32
	queueVectors []atomic.Uint32

	// generation is config_generation; seen is the Common's when it was last
	// compared.
	generation, seen atomic.Uint32

	doorbells []doorbell // the region's Map and Unmap
}

// maxVectors is what a page of the MSI-X table has room for; further queues
// share.
const maxVectors = pageSize / msix.EntrySize

// New gives dev a configuration space. report gets the evidence each time the
// device comes to need a reset, from any goroutine. The transport owns its
// doorbells until Close.
func New(dev virtio.Device, mem *memory.Memory, p Platform, report func(error)) (*Transport, error) {
	queues := len(dev.QueueSizes())
	t := &Transport{platform: p, queueVectors: make([]atomic.Uint32, queues)}
	config := msix.Config{Table: tableOffset, PBA: pbaOffset, Fail: func(err error) { t.Fail(err) }}
	for range min(queues+1, maxVectors) { // one for the configuration
		v, err := p.NewVector()
		if err != nil {
			return nil, err
		}
		config.Vectors = append(config.Vectors, v)
	}
	var err error
	if t.msix, err = msix.New(config); err != nil {
		return nil, err
	}
	t.unmapVectors()
	if t.Common, err = virtio.NewCommon(dev, mem, t, report); err != nil {
		return nil, err
	}
	t.window = newWindow(t)
	return t, nil
}

// DriverSection implements virtio.Interrupter.
func (t *Transport) DriverSection() string { return driverSection }

// QueueInterrupt implements virtio.Interrupter; section 4.1.5.3.
func (t *Transport) QueueInterrupt(queue int) {
	// There is no vector noVector.
	if !t.msix.Signal(int(t.queueVectors[queue].Load())) {
		t.isr.Or(isrQueue)
	}
}

// ConfigInterrupt implements virtio.Interrupter; section 4.1.5.4.
func (t *Transport) ConfigInterrupt() {
	t.isr.Or(isrConfig) // section 4.1.4.5.1: MSI-X or not
	t.msix.Signal(int(t.configVector.Load()))
}

// setStatus takes a write to device_status. What the transport itself has to
// reset is reset with the device.
func (t *Transport) setStatus(v virtio.Status) {
	t.SetStatus(v)
	if v == 0 {
		t.isr.Store(0)
		t.unmapVectors()
		t.msix.ClearPending()
	}
}

// unmapVectors leaves every event without a vector; section 4.1.5.1.2.1.
func (t *Transport) unmapVectors() {
	t.configVector.Store(noVector)
	for i := range t.queueVectors {
		t.queueVectors[i].Store(noVector)
	}
}

// vector returns what a driver that maps an event to v gets: NO_VECTOR if that
// can't be.
func (t *Transport) vector(v uint32) uint32 {
	if v >= uint32(t.msix.Len()) {
		return noVector
	}
	return v
}
