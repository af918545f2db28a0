// Package bus dispatches a guest's port and MMIO accesses to device registers.
package bus

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Handler is the register file of one device. Any vCPU may call it at any
// time, several at once. Offsets count from the start of the device's range;
// data is 1 to 8 bytes that lie within the range, and is not to be kept.
//
// A guest can reach every method with any arguments: nothing in them may panic.
type Handler interface {
	// Read fills data with what the guest reads.
	Read(offset uint64, data []byte)
	// Write takes what the guest wrote.
	Write(offset uint64, data []byte)
}

// Range attaches a device to Size addresses from Start on.
type Range struct {
	Start, Size uint64
	Name        string // for errors
	Handler
}

// Bus is an address space of devices. It never changes, so looking up a device
// takes no lock and allocates nothing.
type Bus struct {
	ranges []Range // ascending
}

// New returns a bus with the given devices. It fails if two of them overlap or
// one is empty or wraps around.
func New(ranges ...Range) (*Bus, error) {
	b := &Bus{slices.Clone(ranges)}
	slices.SortFunc(b.ranges, func(x, y Range) int { return cmp.Compare(x.Start, y.Start) })
	var errs []error
	for i, r := range b.ranges {
		if r.Size == 0 || r.Start+r.Size < r.Start {
			errs = append(errs, fmt.Errorf("bus: %s has a bad range: %#x bytes at %#x", r.Name, r.Size, r.Start))
		}
		if i > 0 && b.ranges[i-1].Start+b.ranges[i-1].Size > r.Start {
			errs = append(errs, fmt.Errorf("bus: %s and %s overlap at %#x", b.ranges[i-1].Name, r.Name, r.Start))
		}
	}
	return b, errors.Join(errs...)
}

// Read serves a guest read of len(data) bytes. Where there is no device, or an
// access runs over a device's end, the guest reads ones, as on a real bus.
func (b *Bus) Read(address uint64, data []byte) {
	if r := b.find(address, len(data)); r != nil {
		r.Handler.Read(address-r.Start, data)
		return
	}
	for i := range data {
		data[i] = 0xff
	}
}

// Write serves a guest write. Where there is no device it is lost.
func (b *Bus) Write(address uint64, data []byte) {
	if r := b.find(address, len(data)); r != nil {
		r.Handler.Write(address-r.Start, data)
	}
}

// find returns the range that holds all n bytes at address.
func (b *Bus) find(address uint64, n int) *Range {
	lo, hi := 0, len(b.ranges)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if b.ranges[mid].Start <= address {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return nil
	}
	r := &b.ranges[lo-1]
	if off := address - r.Start; off >= r.Size || uint64(n) > r.Size-off {
		return nil
	}
	return r
}
