package pcitest

import (
	"sync"

	"github.com/bulkhead-vm/bulkhead/devices/pci/msix"
)

// Vector is a msix.Vector that remembers what it is told.
type Vector struct {
	// OnSignal, if not nil, is called by each Signal.
	OnSignal func()

	mu     sync.Mutex
	sent   []msix.Message
	route  *msix.Message
	routes int
	err    error
}

// Route implements msix.Vector.
func (v *Vector) Route(m msix.Message) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.route = nil; v.err != nil {
		return v.err
	}
	v.route, v.routes = &m, v.routes+1
	return nil
}

// Signal implements msix.Vector.
func (v *Vector) Signal() {
	v.mu.Lock()
	if v.route != nil {
		v.sent = append(v.sent, *v.route)
	}
	v.mu.Unlock()
	if v.OnSignal != nil {
		v.OnSignal()
	}
}

// Refuse has Route fail with err from now on, or no more if err is nil.
func (v *Vector) Refuse(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.err = err
}

// Sent returns the messages that were sent.
func (v *Vector) Sent() []msix.Message {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]msix.Message(nil), v.sent...)
}

// Routes returns how often Route succeeded.
func (v *Vector) Routes() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.routes
}
