package virtiotest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/pci/msix"
	"github.com/bulkhead-vm/bulkhead/devices/pci/pcitest"
)

// Platform is a machine's side of a device behind PCI. It isn't KVM: a write
// to a doorbell goes to the device's memory.
type Platform struct {
	// Vectors are the device's, and Events count their signals.
	Vectors []*pcitest.Vector
	Events  []*eventfd.EventFD

	t         testing.TB
	mu        sync.Mutex
	doorbells map[uint64]*eventfd.EventFD
}

func newPlatform(t testing.TB) *Platform {
	return &Platform{t: t, doorbells: make(map[uint64]*eventfd.EventFD)}
}

// NewVector implements the transport's Platform.
func (p *Platform) NewVector() (msix.Vector, error) {
	event := newEventFD(p.t)
	v := &pcitest.Vector{OnSignal: func() { event.Signal() }}
	p.Vectors, p.Events = append(p.Vectors, v), append(p.Events, event)
	return v, nil
}

// AttachDoorbell implements the transport's Platform. Like KVM it takes one at
// an address.
func (p *Platform) AttachDoorbell(gpa uint64, kick *eventfd.EventFD) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doorbells[gpa] != nil {
		return fmt.Errorf("there is a doorbell at %#x", gpa)
	}
	p.doorbells[gpa] = kick
	return nil
}

// DetachDoorbell implements the transport's Platform. It fails the test if
// there is no such doorbell.
func (p *Platform) DetachDoorbell(gpa uint64, kick *eventfd.EventFD) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doorbells[gpa] != kick {
		p.t.Errorf("a doorbell is detached at %#x that isn't there", gpa)
	}
	delete(p.doorbells, gpa)
	return nil
}

// Doorbells returns where a doorbell is attached.
func (p *Platform) Doorbells() (all []uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for gpa := range p.doorbells {
		all = append(all, gpa)
	}
	return all
}
