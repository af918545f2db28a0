package serial

// The line's two ends: bytes in and out, and the interrupts they cause. The
// caller of each function here holds p.mu.

func (p *Port) transmit(b []byte) {
	if p.mcr&mcrLoop != 0 {
		if len(p.input) < inputSize {
			p.input = append(p.input, b...)
			p.interrupt(ierReceived)
		}
		return
	}
	p.out.Write(b) // nobody to tell of an error
	p.thrPending = true
	p.interrupt(ierTHREmpty)
}

func (p *Port) receive() byte {
	if len(p.input) == 0 {
		return 0
	}
	b := p.input[0]
	p.input = p.input[1:]
	if len(p.input) == 0 {
		p.input = nil // give the array back
	} else {
		p.interrupt(ierReceived) // edge-triggered: announce what is left
	}
	return b
}

// enable takes a new interrupt enable register; what is pending already
// interrupts at once.
func (p *Port) enable(ier byte) {
	fresh := ier &^ p.ier
	p.ier = ier
	if fresh&ierTHREmpty != 0 {
		p.thrPending = true // the transmitter is always empty
		p.interrupt(ierTHREmpty)
	}
	if fresh&ierReceived != 0 && len(p.input) > 0 {
		p.interrupt(ierReceived)
	}
}

// interrupt raises the line if the guest enabled this cause.
func (p *Port) interrupt(cause byte) {
	if p.ier&cause != 0 && p.mcr&mcrOut2 != 0 {
		p.irq()
	}
}

func (p *Port) identify() byte {
	id := byte(iirNone)
	switch {
	case p.ier&ierReceived != 0 && len(p.input) > 0:
		id = iirReceived
	case p.ier&ierTHREmpty != 0 && p.thrPending:
		id = iirTHREmpty
		p.thrPending = false
	}
	if p.fifos {
		id |= iirFIFOs
	}
	return id
}

func (p *Port) lineStatus() byte {
	status := byte(lsrTHREmpty | lsrIdle)
	if len(p.input) > 0 {
		status |= lsrDataReady
	}
	return status
}

// modemStatus shows MCR's outputs on the inputs in loopback mode, by which
// drivers probe for a UART.
func (p *Port) modemStatus() byte {
	if p.mcr&mcrLoop == 0 {
		return msrConnected
	}
	dtr, rts, out1, out2 := p.mcr&1, p.mcr>>1&1, p.mcr>>2&1, p.mcr>>3&1
	return rts<<4 | dtr<<5 | out1<<6 | out2<<7
}
