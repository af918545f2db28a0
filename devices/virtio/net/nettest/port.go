// Package nettest is a network port for tests, benchmarks and fuzzers, whose
// other end is theirs.
package nettest

import (
	"bytes"
	"os"
	"sync"
)

// Port implements net.Port.
type Port struct {
	wires []wire

	mu          sync.Mutex // the rest
	off         bool
	interrupted chan struct{} // closed while off
	used        int
	offloads    uint64
}

type wire struct{ toGuest, fromGuest chan []byte }

// New returns a port of so many wires, each of which holds 16 frames a way.
func New(wires int) *Port {
	p := &Port{interrupted: make(chan struct{}), used: 1}
	for range wires {
		p.wires = append(p.wires, wire{make(chan []byte, 16), make(chan []byte, 16)})
	}
	return p
}

// ToGuest takes frames for the guest, header first.
func (p *Port) ToGuest(wire int) chan<- []byte { return p.wires[wire].toGuest }

// FromGuest gives the guest's frames, header first.
func (p *Port) FromGuest(wire int) <-chan []byte { return p.wires[wire].fromGuest }

// Used returns over how many wires frames are to be spread.
func (p *Port) Used() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}

// Offloads returns what SetOffloads was told last.
func (p *Port) Offloads() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offloads
}

// Wires implements net.Port.
func (p *Port) Wires() int { return len(p.wires) }

// Use implements net.Port.
func (p *Port) Use(wires int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used = wires
	return nil
}

// SetOffloads implements net.Port.
func (p *Port) SetOffloads(features uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offloads = features
	return nil
}

// Receive implements net.Port.
func (p *Port) Receive(wire int, bufs func() [][]byte, idle func()) (int, error) {
	interrupt := p.interrupt()
	select {
	case <-interrupt:
		return 0, os.ErrDeadlineExceeded
	default:
	}
	select {
	case frame := <-p.wires[wire].toGuest:
		return Scatter(bufs(), frame), nil
	default:
	}
	idle()
	select {
	case frame := <-p.wires[wire].toGuest:
		return Scatter(bufs(), frame), nil
	case <-interrupt:
		return 0, os.ErrDeadlineExceeded
	}
}

// Scatter copies a frame to bufs and returns how much of it fits.
func Scatter(bufs [][]byte, frame []byte) (n int) {
	for _, b := range bufs {
		n += copy(b, frame[n:])
	}
	return n
}

// Send implements net.Port.
func (p *Port) Send(wire int, bufs [][]byte) error {
	interrupt := p.interrupt()
	select {
	case <-interrupt:
		return os.ErrDeadlineExceeded
	default:
	}
	select {
	case p.wires[wire].fromGuest <- bytes.Join(bufs, nil):
		return nil
	case <-interrupt:
		return os.ErrDeadlineExceeded
	}
}

func (p *Port) interrupt() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.interrupted
}

// Interrupt implements net.Port.
func (p *Port) Interrupt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.off {
		p.off = true
		close(p.interrupted)
	}
}

// Rearm implements net.Port.
func (p *Port) Rearm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off, p.interrupted = false, make(chan struct{})
}
