package serial

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// restored returns a port that goes on where f is.
func (f *fixture) restored(t *testing.T) *fixture {
	t.Helper()
	next := new(fixture)
	next.Port = New(&next.out, func() { next.irqs++ })
	if err := next.Restore(f.Save()); err != nil {
		t.Fatal(err)
	}
	if was, is := f.Save(), next.Save(); !proto.Equal(was, is) {
		t.Errorf("%v, was %v", is, was)
	}
	return next
}

// TestRestore saves a port in the middle of things, and reads from both what the
// guest would.
func TestRestore(t *testing.T) {
	for name, x := range map[string]struct {
		do   func(f *fixture)
		irqs int // that the other one begins with
	}{
		"nothing":              {func(*fixture) {}, 0},
		"input":                {func(f *fixture) { f.Input([]byte("hull")) }, 0},
		"input that was told":  {func(f *fixture) { f.set(regIER, ierReceived); f.Input([]byte("hull")) }, 1},
		"a half-read line":     {func(f *fixture) { f.Input([]byte("hull")); f.get(regData) }, 0},
		"full":                 {func(f *fixture) { f.Input(make([]byte, 2*inputSize)) }, 0},
		"the divisor's latch":  {func(f *fixture) { f.set(regLCR, lcrDivisor|3); f.set(regData, 12); f.set(regIER, 1) }, 0},
		"behind the latch":     {func(f *fixture) { f.set(regIER, 5); f.set(regLCR, lcrDivisor); f.Input([]byte("x")) }, 1},
		"an empty transmitter": {func(f *fixture) { f.set(regIER, ierTHREmpty) }, 1},
		"that was seen":        {func(f *fixture) { f.set(regIER, ierTHREmpty); f.get(regIIR) }, 0},
		"both causes":          {func(f *fixture) { f.set(regIER, ierMask); f.Input([]byte("x")) }, 2},
		"the line cut off":     {func(f *fixture) { f.set(regIER, ierMask); f.set(regMCR, 0); f.Input([]byte("x")) }, 0},
		"loopback":             {func(f *fixture) { f.set(regMCR, mcrMask); f.set(regData, 'z') }, 0},
		"FIFOs and scratch":    {func(f *fixture) { f.set(regIIR, fcrEnable); f.set(regSCR, 0xa5) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			x.do(f)
			next := f.restored(t)
			if next.irqs != x.irqs {
				t.Errorf("%d interrupts, want %d", next.irqs, x.irqs)
			}
			for _, p := range []*fixture{f, next} {
				p.set(regData, 'o') // wherever that goes: the same in both
				if room := p.Input([]byte("on")); room != 2 && name != "full" {
					t.Errorf("room for %d bytes", room)
				}
			}
			for range inputSize + 3 {
				for reg := range uint64(RegisterLen) {
					if was, is := f.get(reg), next.get(reg); was != is {
						t.Fatalf("register %d is %#x, was %#x", reg, is, was)
					}
				}
			}
			if was, is := f.out.String(), next.out.String(); was != is {
				t.Errorf("%q came out, of the other %q", is, was)
			}
		})
	}
}

// TestCopies: what happens to a port later is neither in its state nor in other
// ports that have it.
func TestCopies(t *testing.T) {
	f := newFixture()
	f.Input([]byte("hull"))
	s := f.Save()
	ports := []*fixture{f, newFixture(), newFixture()}
	for _, p := range ports[1:] {
		if err := p.Restore(s); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range ports {
		p.get(regData)
		p.Input([]byte{'0' + byte(i)})
	}
	for i, want := range []string{"ull0", "ull1", "ull2"} {
		if got := string(ports[i].input); got != want {
			t.Errorf("%q waits, want %q", got, want)
		}
	}
	if got := string(s.Input); got != "hull" {
		t.Errorf("the state has %q", got)
	}
}

// TestRestoreRefuses forges states that no port can be in. Nothing changes.
func TestRestoreRefuses(t *testing.T) {
	for name, s := range map[string]*statev1.Serial{
		"none":                   nil,
		"too much input":         {Input: make([]byte, inputSize+1)},
		"other interrupts":       {Ier: 0x10},
		"line control of 9 bits": {Lcr: 0x100},
		"modem control":          {Mcr: 0x20},
		"scratch of 9 bits":      {Scr: 0x100},
		"divisor of 17 bits":     {Divisor: 0x1_0000},
		"all ones":               {Ier: ^uint32(0), Lcr: ^uint32(0), Mcr: ^uint32(0), Scr: ^uint32(0), Divisor: ^uint32(0)},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			before := f.Save()
			if err := f.Restore(s); err == nil {
				t.Error("accepted")
			}
			if after := f.Save(); !proto.Equal(before, after) {
				t.Errorf("%v, was %v", after, before)
			}
		})
	}
	full := &statev1.Serial{Input: bytes.Repeat([]byte{1}, inputSize), Ier: ierMask, Lcr: 0xff, Mcr: mcrMask, Scr: 0xff, Divisor: 0xffff}
	if err := newFixture().Restore(full); err != nil {
		t.Error(err)
	}
}

// FuzzRestore has a port go on where a state file says. It refuses, or is as the
// file has it and can be used.
func FuzzRestore(f *testing.F) {
	for _, s := range []*statev1.Serial{
		{},
		newFixture().Save(),
		{Input: []byte("hull"), Ier: ierMask, Lcr: lcrDivisor | 3, Mcr: mcrMask, Scr: 0xa5, Fifos: true, Divisor: 0x102, TransmitterInterrupt: true},
	} {
		b, err := proto.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		s := &statev1.Serial{}
		if (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(file, s) != nil {
			return
		}
		p := newFixture()
		if p.Restore(s) != nil {
			return
		}
		if is := p.Save(); !proto.Equal(is, s) {
			t.Errorf("%v, want %v", is, s)
		}
		for range 2 {
			p.Input([]byte("on"))
			for reg := range uint64(RegisterLen) {
				p.get(reg)
				p.set(reg, 0xff)
			}
		}
		if len(p.input) > inputSize {
			t.Errorf("%d bytes of input", len(p.input))
		}
	})
}
