package nettest

import (
	"os"
	"sync/atomic"
)

// Endless is a port for benchmarks. Its other end sends the same frame for
// ever, and takes all that the guest sends; neither side waits. Frames are
// copied, as a kernel does.
type Endless struct {
	Frame []byte // to the guest, header first; none: the guest gets nothing

	sink        [68 << 10]byte
	interrupted atomic.Bool
}

// Wires implements net.Port.
func (*Endless) Wires() int { return 1 }

// Use implements net.Port.
func (*Endless) Use(int) error { return nil }

// SetOffloads implements net.Port.
func (*Endless) SetOffloads(uint64) error { return nil }

// Receive implements net.Port.
func (p *Endless) Receive(_ int, bufs func() [][]byte, _ func()) (int, error) {
	if p.interrupted.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	return Scatter(bufs(), p.Frame), nil
}

// Send implements net.Port.
func (p *Endless) Send(_ int, bufs [][]byte) error {
	p.Gather(bufs)
	return nil
}

// Gather copies a frame out of bufs and returns its length.
func (p *Endless) Gather(bufs [][]byte) (n int) {
	for _, b := range bufs {
		n += copy(p.sink[n:], b)
	}
	return n
}

// Interrupt implements net.Port.
func (p *Endless) Interrupt() { p.interrupted.Store(true) }

// Rearm implements net.Port.
func (p *Endless) Rearm() { p.interrupted.Store(false) }
