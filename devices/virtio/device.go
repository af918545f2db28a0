package virtio

import (
	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// ID is a device type; section 5.
type ID uint32

// The types of devices that are here, or that the kernel of a guest knows.
const (
	IDNet     ID = 1
	IDBlock   ID = 2
	IDRNG     ID = 4
	IDBalloon ID = 5
	IDVsock   ID = 19
)

// Feature bits of every device; section 6.
const (
	FeatureIndirectDesc = 1 << 28
	FeatureEventIdx     = 1 << 29
	FeatureVersion1     = 1 << 32
)

// Device is a virtio device without its transport.
//
// Activate and Reset alternate, Suspend and Resume do in between, and none of
// these overlaps another. ReadConfig and WriteConfig come from any vCPU, several
// at once.
type Device interface {
	ID() ID
	// Features returns the device type's own bits, besides those above.
	Features() uint64
	// QueueSizes returns the most descriptors of each queue, powers of two.
	QueueSizes() []uint16
	// ReadConfig fills data from the device's configuration space, with
	// zeroes beyond its end.
	ReadConfig(offset uint64, data []byte)
	// WriteConfig takes a write to it; most have no writable fields.
	WriteConfig(offset uint64, data []byte)
	// Activate starts the device on the queues the driver has set up.
	Activate(Activation) error
	// Reset stops it: on return no goroutine of the device touches the
	// queues or guest memory any more. Buffers not given back are lost. A
	// device that was restored may be reset without having been activated.
	Reset()
	// Suspend has the device rest until Resume or Reset: it touches neither its
	// queues nor guest memory, and what it has taken is given back, put back or
	// known to Save. Who is connected to it stays so.
	Suspend()
	Resume()
	// Save adds to s what the device knows that neither its queues nor its
	// configuration tell. The device is suspended, or was never activated.
	Save(s *statev1.Device)
	// Restore takes what Save gave another such device, which may come from a
	// hostile guest. Activate follows if that one was active. It fails, and says
	// what to do about it, where the guest could not go on with this device.
	Restore(s *statev1.Device) error
}

// Activation is what a device works with from Activate to Reset.
type Activation struct {
	Memory   *memory.Memory
	Features uint64 // what the driver accepted
	// Queues has an entry for each of QueueSizes, nil if the driver didn't
	// enable it.
	Queues []*Queue
	// Fail reports that the driver broke the protocol, or that the device
	// can't go on: the driver is told that the device needs a reset. It may
	// be called from any goroutine and doesn't wait.
	Fail func(error)
	// ConfigChanged tells the driver to read the configuration space again.
	ConfigChanged func()
}
