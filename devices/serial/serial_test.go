package serial

import (
	"bytes"
	"testing"
)

type fixture struct {
	*Port
	out  bytes.Buffer
	irqs int
}

func newFixture() *fixture {
	f := new(fixture)
	f.Port = New(&f.out, func() { f.irqs++ })
	f.set(regMCR, mcrOut2)
	return f
}

func (f *fixture) set(reg uint64, v byte) { f.Write(reg, []byte{v}) }

func (f *fixture) get(reg uint64) byte {
	b := []byte{0xff}
	f.Read(reg, b)
	return b[0]
}

func TestTransmit(t *testing.T) {
	f := newFixture()
	for _, c := range []byte("hull") {
		if f.get(regLSR)&lsrTHREmpty == 0 {
			t.Fatal("transmitter is busy")
		}
		f.set(regData, c)
	}
	if f.out.String() != "hull" {
		t.Errorf("line carried %q", f.out.String())
	}
	if f.irqs != 0 {
		t.Errorf("%d interrupts though none are enabled", f.irqs)
	}
}

func TestTransmitInterrupt(t *testing.T) {
	f := newFixture()
	f.set(regIER, ierTHREmpty)
	if f.irqs != 1 {
		t.Fatalf("%d interrupts after enabling on an empty transmitter, want 1", f.irqs)
	}
	if id := f.get(regIIR); id != iirTHREmpty {
		t.Errorf("IIR = %#x, want %#x", id, iirTHREmpty)
	}
	if id := f.get(regIIR); id != iirNone {
		t.Errorf("IIR = %#x after it was read, want %#x", id, iirNone)
	}
	f.set(regData, 'x')
	if f.irqs != 2 {
		t.Errorf("%d interrupts after a byte went out, want 2", f.irqs)
	}
}

func TestReceive(t *testing.T) {
	f := newFixture()
	f.set(regIER, ierReceived)
	if n := f.Input([]byte("ab")); n != 2 || f.irqs != 1 {
		t.Fatalf("Input took %d, %d interrupts; want 2 and 1", n, f.irqs)
	}
	if id := f.get(regIIR); id != iirReceived {
		t.Errorf("IIR = %#x, want %#x", id, iirReceived)
	}
	if a, b := f.get(regData), f.get(regData); a != 'a' || b != 'b' {
		t.Errorf("received %q %q", a, b)
	}
	if f.get(regLSR)&lsrDataReady != 0 {
		t.Error("data ready though all was read")
	}
	if f.get(regData) != 0 {
		t.Error("read a byte nobody sent")
	}
}

func TestInputIsBounded(t *testing.T) {
	f := newFixture()
	if n := f.Input(make([]byte, 3*inputSize)); n != inputSize {
		t.Errorf("took %d bytes, want %d", n, inputSize)
	}
	if n := f.Input([]byte{1}); n != 0 {
		t.Errorf("took %d bytes when full", n)
	}
	f.set(regMCR, mcrOut2|mcrLoop)
	f.set(regData, 1)
	if len(f.input) > inputSize {
		t.Errorf("loopback let %d bytes wait", len(f.input))
	}
}

func TestLoopback(t *testing.T) {
	f := newFixture()
	f.set(regMCR, mcrLoop|mcrOut2|1<<1)
	if got := f.get(regMSR); got != 0x90 {
		t.Errorf("MSR = %#x, want 0x90: OUT2 on DCD, RTS on CTS", got)
	}
	f.set(regData, 'z')
	if got := f.get(regData); got != 'z' || f.out.Len() != 0 {
		t.Errorf("read back %q, line carried %q", got, f.out.String())
	}
}

func TestRegistersReadBack(t *testing.T) {
	f := newFixture()
	f.set(regSCR, 0xa5)
	f.set(regLCR, lcrDivisor|3)
	f.set(regData, 12)
	f.set(regIER, 1)
	if lo, hi := f.get(regData), f.get(regIER); lo != 12 || hi != 1 {
		t.Errorf("divisor reads %d, %d", lo, hi)
	}
	f.set(regLCR, 3)
	f.set(regIIR, fcrEnable)
	if got := f.get(regIIR); got != iirFIFOs|iirNone {
		t.Errorf("IIR = %#x: Linux wants FIFO bits to believe in a 16550A", got)
	}
	if f.get(regSCR) != 0xa5 || f.get(regLCR) != 3 {
		t.Error("scratch or line control lost")
	}
}

// FuzzRegisters throws register accesses at a port: it must not panic, and
// what waits for the guest must stay bounded.
func FuzzRegisters(f *testing.F) {
	f.Add([]byte{1, 4, 0x18, 1, 0, 'a', 0, 0, 0})
	f.Add([]byte{1, 3, 0x80, 1, 0, 0, 1, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		p := newFixture()
		for ; len(ops) >= 3; ops = ops[3:] {
			data := bytes.Repeat(ops[2:3], 1+int(ops[0]>>1)%8)
			if ops[0]&1 != 0 {
				p.Write(uint64(ops[1]), data)
			} else {
				p.Read(uint64(ops[1]), data)
			}
			if len(p.input) > inputSize {
				t.Fatalf("%d bytes of input", len(p.input))
			}
		}
	})
}
