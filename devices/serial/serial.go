// Package serial emulates a 16550A UART, the guest's console.
package serial

import (
	"io"
	"sync"
)

// inputSize is how much input waits for a guest that doesn't read.
const inputSize = 4096

// Port is one UART: a bus.Handler of RegisterLen bytes. Its methods may be
// called from any goroutine.
type Port struct {
	out io.Writer
	irq func()

	mu      sync.Mutex
	input   []byte
	ier     byte
	lcr     byte
	mcr     byte
	scr     byte
	fifos   bool
	divisor [2]byte
	// thrPending is the THR-empty interrupt, which reading IIR takes back.
	thrPending bool
}

// New returns a port whose output goes to out, byte by byte on the vCPU's own
// goroutine: out must not block and its errors are ignored. The port calls irq
// for each edge of its interrupt line.
func New(out io.Writer, irq func()) *Port {
	return &Port{out: out, irq: irq, divisor: [2]byte{divisor115200, 0}}
}

// Input queues what somebody typed and returns how much of it there was room
// for.
func (p *Port) Input(b []byte) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(b), inputSize-len(p.input))
	if n > 0 {
		p.input = append(p.input, b[:n]...)
		p.interrupt(ierReceived)
	}
	return n
}

// Read serves a register read. Only single bytes are defined.
func (p *Port) Read(offset uint64, data []byte) {
	clear(data)
	if len(data) != 1 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	data[0] = p.read(offset)
}

func (p *Port) read(offset uint64) byte {
	switch {
	case offset <= regIER && p.lcr&lcrDivisor != 0:
		return p.divisor[offset]
	case offset == regData:
		return p.receive()
	case offset == regIER:
		return p.ier
	case offset == regIIR:
		return p.identify()
	case offset == regLCR:
		return p.lcr
	case offset == regMCR:
		return p.mcr
	case offset == regLSR:
		return p.lineStatus()
	case offset == regMSR:
		return p.modemStatus()
	case offset == regSCR:
		return p.scr
	}
	return 0
}

// Write serves a register write.
func (p *Port) Write(offset uint64, data []byte) {
	if len(data) != 1 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.write(offset, data)
}

func (p *Port) write(offset uint64, data []byte) {
	v := data[0]
	switch {
	case offset <= regIER && p.lcr&lcrDivisor != 0:
		p.divisor[offset] = v
	case offset == regData:
		p.transmit(data)
	case offset == regIER:
		p.enable(v & ierMask)
	case offset == regIIR:
		p.fifos = v&fcrEnable != 0
		if v&fcrClearRX != 0 {
			p.input = nil
		}
	case offset == regLCR:
		p.lcr = v
	case offset == regMCR:
		p.mcr = v & mcrMask
	case offset == regSCR:
		p.scr = v
	}
}
