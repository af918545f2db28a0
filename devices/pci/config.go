package pci

import "github.com/bulkhead-vm/bulkhead/devices/bus"

// Config describes a function.
type Config struct {
	Vendor, Device             uint16
	SubsystemVendor, Subsystem uint16
	Revision                   uint8
	// Class is the base class, sub-class and programming interface, as 24
	// bits; appendix D.
	Class uint32

	// Region is what BAR 0 maps. nil: the function decodes no memory.
	Region Region
	// Capabilities are listed in this order; section 6.7.
	Capabilities []Capability
	// Interrupting is what the Interrupt Status bit shows; section 6.2.3. nil:
	// never anything. It may be called from any vCPU.
	Interrupting func() bool
}

// Region is a function's memory. The guest decides where it is, and whether it
// is anywhere at all; what is decoded in two places is at the lower function's.
type Region interface {
	bus.Handler
	// Size is a power of two, 16 or more.
	Size() uint32
	// Map says that the region can be reached at gpa from now on, Unmap that
	// it can't any more. They alternate and don't overlap. Accesses may come
	// while either runs.
	Map(gpa uint64)
	Unmap()
}

// Capability is a structure in a function's capability list. Its handler's
// offsets count from the structure's start, but the two bytes there, ID and
// pointer, never come to it. An access lies within four aligned bytes.
type Capability interface {
	bus.Handler
	ID() uint8 // appendix H
	// Size is in bytes, a multiple of 4, with ID and pointer.
	Size() int
}

// Window is the guest-physical memory that leads to a bus. It doesn't start at
// 0.
type Window struct{ Start, Size uint32 }
