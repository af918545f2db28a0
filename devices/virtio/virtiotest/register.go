package virtiotest

import "github.com/bulkhead-vm/bulkhead/vmm/memory"

// Register names one that every transport has.
type Register int

// The registers; virtio 1.2, sections 4.1.4.3 and 4.2.2.
const (
	DeviceFeaturesSel Register = iota
	DeviceFeatures
	DriverFeaturesSel
	DriverFeatures
	Status
	ConfigGeneration
	QueueSel
	QueueSize
	QueueReady
	QueueDescLow
	QueueDescHigh
	QueueDriverLow
	QueueDriverHigh
	QueueDeviceLow
	QueueDeviceHigh

	Registers = iota // how many there are
)

// Status bits; virtio 1.2, section 2.1.
const (
	Acknowledge = 1
	Driver      = 2
	DriverOK    = 4
	FeaturesOK  = 8
	NeedsReset  = 64
	Failed      = 128

	Negotiated = Acknowledge | Driver | FeaturesOK
	Running    = Negotiated | DriverOK
)

// Negotiate resets the device and goes as far as FEATURES_OK, with those of the
// features that it offers; section 3.1.1.
func (p *Port) Negotiate(features uint64) {
	p.Set(Status, 0)
	p.Set(Status, Acknowledge)
	p.Set(Status, Acknowledge|Driver)
	for word := range uint32(2) {
		p.Set(DeviceFeaturesSel, word)
		p.Set(DriverFeaturesSel, word)
		p.Set(DriverFeatures, p.Get(DeviceFeatures)&uint32(features>>(32*word)))
	}
	p.Set(Status, Negotiated)
	if p.Board != nil {
		p.mapVectors()
	}
}

// Place selects a queue and sets its size and addresses.
func (p *Port) Place(queue int, size uint16, desc, driver, device memory.GPA) {
	p.Set(QueueSel, uint32(queue))
	p.Set(QueueSize, uint32(size))
	for low, gpa := range map[Register]memory.GPA{QueueDescLow: desc, QueueDriverLow: driver, QueueDeviceLow: device} {
		p.Set(low, uint32(gpa))
		p.Set(low+1, uint32(gpa>>32))
	}
}
