// Package msix is the MSI-X capability of a PCI function: a table of messages
// in the function's memory, one for each interrupt, that the guest fills in,
// masks and unmasks. Sections cited are those of the PCI Local Bus
// Specification 3.0.
package msix

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Message is what an interrupt writes, and where; section 6.8.
type Message struct {
	Address uint64
	Data    uint32
}

// Vector is an interrupt's way to the guest.
type Vector interface {
	// Route has later Signals send m. If it fails, they send nothing.
	Route(m Message) error
	// Signal sends the message. It doesn't wait for the guest.
	Signal()
}

// Config describes a table. Table and PBA, the array of pending bits, are at
// offsets in the memory of a BAR, multiples of 8.
type Config struct {
	Vectors    []Vector // 1 to MaxVectors
	BAR        uint8
	Table, PBA uint32
	// Fail hears, from whatever vCPU, that a message can't be sent.
	Fail func(error)
}

// MaxVectors is what fits in a table; section 6.8.2.3.
const MaxVectors = 2048

// Table is the structure. It is a pci.Capability; the function's memory leads
// to ReadTable, WriteTable and ReadPBA. Its methods may be called from any
// goroutine.
type Table struct {
	config Config

	mu      sync.RWMutex // held for reading to signal; no other lock is taken under it but a Vector's
	control uint16
	entries []entry
}

// entry is a vector with its registers.
type entry struct {
	Vector
	registers [entryRegisters]uint32
	route     *Message // the vector's; nil: none
	pending   atomic.Bool
}

// New returns a table with everything masked, and MSI-X as such off.
func New(c Config) (*Table, error) {
	if len(c.Vectors) < 1 || len(c.Vectors) > MaxVectors {
		return nil, fmt.Errorf("msix: %d vectors: 1 to %d are possible", len(c.Vectors), MaxVectors)
	}
	t := &Table{config: c, control: uint16(len(c.Vectors) - 1), entries: make([]entry, len(c.Vectors))}
	for i := range t.entries {
		e := &t.entries[i]
		e.Vector, e.registers[regControl] = c.Vectors[i], controlMasked
	}
	return t, nil
}

// Len returns the number of vectors.
func (t *Table) Len() int { return len(t.entries) }

// Enabled reports whether the guest wants messages at all.
func (t *Table) Enabled() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.control&controlEnable != 0
}

// Signal sends the message of a vector or, while that is masked, sets its
// pending bit. Of a vector that isn't there, nothing is sent. It reports false
// if MSI-X is off.
func (t *Table) Signal(vector int) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.control&controlEnable == 0 {
		return false
	}
	if vector < 0 || vector >= len(t.entries) {
		return true
	}
	if e := &t.entries[vector]; t.masks(e) {
		e.pending.Store(true)
	} else {
		e.Signal()
	}
	return true
}

// ClearPending forgets what is pending: the function was reset, which section
// 6.8.3.5 calls one way to satisfy what caused the interrupts.
func (t *Table) ClearPending() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.entries {
		t.entries[i].pending.Store(false)
	}
}

// masks reports whether e may not send. The caller holds t.mu.
func (t *Table) masks(e *entry) bool {
	return t.control&controlEnable == 0 || t.control&controlMaskAll != 0 || e.registers[regControl]&controlMasked != 0
}

// settle brings e in line with its registers: what may send has its route, and
// sends what it owes. The caller holds t.mu.
func (t *Table) settle(e *entry) error {
	if t.masks(e) {
		return nil
	}
	if m := e.message(); e.route == nil || *e.route != m {
		e.route = nil
		if err := e.Route(m); err != nil {
			return err
		}
		e.route = &m
	}
	if e.pending.Swap(false) {
		e.Signal()
	}
	return nil
}

func (e *entry) message() Message {
	return Message{
		Address: uint64(e.registers[regAddressHigh])<<32 | uint64(e.registers[regAddressLow]),
		Data:    e.registers[regData],
	}
}
