package serial

import (
	"errors"
	"fmt"
	"slices"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Save returns what the guest has made of the port, and the input that waits for
// it. It doesn't change it.
func (p *Port) Save() *statev1.Serial {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &statev1.Serial{
		Input:                slices.Clone(p.input),
		Ier:                  uint32(p.ier),
		Lcr:                  uint32(p.lcr),
		Mcr:                  uint32(p.mcr),
		Scr:                  uint32(p.scr),
		Fifos:                p.fifos,
		Divisor:              uint32(p.divisor[0]) | uint32(p.divisor[1])<<8,
		TransmitterInterrupt: p.thrPending,
	}
}

// Restore takes what Save gave of another port. It interrupts for what is pending,
// once more: the interrupt may have been on its way when the other was saved. So
// interrupt controllers come first. It fails, with nothing changed, if no port can
// be like that.
func (p *Port) Restore(s *statev1.Serial) error {
	if err := check(s); err != nil {
		return fmt.Errorf("state of a serial port: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.input = append([]byte(nil), s.GetInput()...) // nil if there is none
	p.ier, p.lcr, p.mcr, p.scr = byte(s.GetIer()), byte(s.GetLcr()), byte(s.GetMcr()), byte(s.GetScr())
	p.fifos = s.GetFifos()
	p.divisor = [2]byte{byte(s.GetDivisor()), byte(s.GetDivisor() >> 8)}
	p.thrPending = s.GetTransmitterInterrupt()
	if len(p.input) > 0 {
		p.interrupt(ierReceived)
	}
	if p.thrPending {
		p.interrupt(ierTHREmpty)
	}
	return nil
}

func check(s *statev1.Serial) error {
	switch {
	case s == nil:
		return errors.New("there is none")
	case len(s.GetInput()) > inputSize:
		return fmt.Errorf("%d bytes of input, at most %d wait for a guest", len(s.GetInput()), inputSize)
	case s.GetIer()&^ierMask != 0:
		return fmt.Errorf("interrupts %#x enabled", s.GetIer())
	case s.GetLcr() > 0xff:
		return fmt.Errorf("line control %#x", s.GetLcr())
	case s.GetMcr()&^mcrMask != 0:
		return fmt.Errorf("modem control %#x", s.GetMcr())
	case s.GetScr() > 0xff:
		return fmt.Errorf("scratch register %#x", s.GetScr())
	case s.GetDivisor() > 0xffff:
		return fmt.Errorf("divisor %#x", s.GetDivisor())
	}
	return nil
}
