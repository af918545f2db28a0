package msix_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/pci/msix"
	"github.com/bulkhead-vm/bulkhead/devices/pci/pcitest"
)

const (
	enable, maskAll = 0x80, 0x40 // of Message Control's upper byte
	masked          = 1
	vectors         = 3
)

type fixture struct {
	*msix.Table
	t        *testing.T
	vectors  []*pcitest.Vector
	failures []error
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t}
	c := msix.Config{BAR: 2, Table: 0x4000, PBA: 0x5000}
	c.Fail = func(err error) {
		f.failures = append(f.failures, err)
		f.Signal(0) // as a transport does: it must not hang
	}
	for range vectors {
		v := new(pcitest.Vector)
		f.vectors = append(f.vectors, v)
		c.Vectors = append(c.Vectors, v)
	}
	var err error
	if f.Table, err = msix.New(c); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) control(v byte) { f.Write(3, []byte{v}) }

func (f *fixture) set(entry, reg int, v uint32) {
	f.WriteTable(uint64(16*entry+4*reg), binary.LittleEndian.AppendUint32(nil, v))
}

// program gives an entry a message and unmasks it.
func (f *fixture) program(entry int, m msix.Message) {
	f.set(entry, 0, uint32(m.Address))
	f.set(entry, 1, uint32(m.Address>>32))
	f.set(entry, 2, m.Data)
	f.set(entry, 3, 0)
}

func (f *fixture) pending() uint32 {
	var b [4]byte
	f.ReadPBA(0, b[:])
	return binary.LittleEndian.Uint32(b[:])
}

func (f *fixture) wantSent(entry int, want ...msix.Message) {
	f.t.Helper()
	if got := f.vectors[entry].Sent(); !slices.Equal(got, want) {
		f.t.Errorf("vector %d sent %x, want %x", entry, got, want)
	}
}

var (
	first  = msix.Message{Address: 0xfee00000, Data: 0x41}
	second = msix.Message{Address: 0x1_fee01000, Data: 0x51}
)

func TestCapability(t *testing.T) {
	f := newFixture(t)
	b := make([]byte, 12)
	f.Read(0, b)
	want := []byte{0, 0, vectors - 1, 0, 0x02, 0x40, 0, 0, 0x02, 0x50, 0, 0}
	if !slices.Equal(b, want) {
		t.Errorf("% x, want % x", b, want)
	}
	f.Write(2, []byte{0xff, 0xff})
	f.Read(2, b[:2])
	if want := []byte{vectors - 1, enable | maskAll}; !slices.Equal(b[:2], want) {
		t.Errorf("control % x after all ones, want % x", b[:2], want)
	}
	f.Write(4, []byte{0xff, 0xff, 0xff, 0xff})
	f.Write(0, []byte{0, 0})
	f.Read(0, b)
	if want[3] = enable | maskAll; !slices.Equal(b, want) {
		t.Errorf("% x after writes to what is read-only, want % x", b, want)
	}
}

func TestSignal(t *testing.T) {
	f := newFixture(t)
	f.program(0, first)
	if f.Signal(0) {
		t.Error("a message while MSI-X is off")
	}
	f.control(enable)
	if !f.Signal(0) || !f.Signal(-1) || !f.Signal(vectors) || !f.Signal(0xffff) {
		t.Error("MSI-X is said to be off")
	}
	f.wantSent(0, first)
	if f.pending() != 0 {
		t.Errorf("pending %b", f.pending())
	}
}

// TestMasks masks a vector by its own bit and by the function's: what comes
// meanwhile is pending, and sent once when both are clear.
func TestMasks(t *testing.T) {
	for name, mask := range map[string]func(f *fixture, on bool){
		"vector": func(f *fixture, on bool) {
			f.set(1, 3, map[bool]uint32{true: masked}[on])
		},
		"function": func(f *fixture, on bool) {
			f.control(map[bool]byte{true: enable | maskAll, false: enable}[on])
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.control(enable)
			f.program(1, first)
			mask(f, true)
			f.Signal(1)
			f.Signal(1)
			f.wantSent(1)
			if f.pending() != 1<<1 {
				t.Errorf("pending %b, want bit 1", f.pending())
			}
			f.set(1, 2, second.Data) // section 6.8.2: while it is masked
			mask(f, false)
			f.wantSent(1, msix.Message{Address: first.Address, Data: second.Data})
			if f.pending() != 0 {
				t.Errorf("pending %b after it was sent", f.pending())
			}
			mask(f, true)
			mask(f, false)
			if n := len(f.vectors[1].Sent()); n != 1 {
				t.Errorf("%d messages, want one", n)
			}
		})
	}
}

func TestClearPending(t *testing.T) {
	f := newFixture(t)
	f.control(enable)
	f.Signal(2) // masked, as after a reset
	f.ClearPending()
	f.program(2, first)
	f.wantSent(2)
}

// TestRoutes counts: a vector is routed when it can send, and again only if its
// message is another.
func TestRoutes(t *testing.T) {
	f := newFixture(t)
	f.control(enable | maskAll)
	f.program(0, first)
	if n := f.vectors[0].Routes(); n != 0 {
		t.Errorf("%d routes while masked", n)
	}
	f.control(enable)
	for range 5 {
		f.set(0, 3, masked)
		f.set(0, 3, 0)
	}
	if n := f.vectors[0].Routes(); n != 1 {
		t.Errorf("%d routes, want one", n)
	}
	f.program(0, second)
	f.Signal(0)
	f.wantSent(0, second)
	if n := f.vectors[1].Routes(); n != 0 {
		t.Errorf("%d routes of a vector that was never unmasked", n)
	}
}

func TestRouteRefused(t *testing.T) {
	f := newFixture(t)
	refusal := errors.New("no")
	f.vectors[1].Refuse(refusal)
	f.control(enable)
	f.program(1, first)
	if len(f.failures) != 1 || !errors.Is(f.failures[0], refusal) {
		t.Fatalf("failures %v", f.failures)
	}
	f.Signal(1)
	f.wantSent(1)
	f.vectors[1].Refuse(nil)
	f.program(1, first)
	f.Signal(1)
	f.wantSent(1, first)
}

// TestWidths accesses the table in every width at every offset: only what is
// aligned and of 4 or 8 bytes does anything.
func TestWidths(t *testing.T) {
	f := newFixture(t)
	for width := 1; width <= 8; width++ {
		for offset := range uint64(64) {
			good := (width == 4 || width == 8) && offset%uint64(width) == 0 && offset < 16*vectors
			ones, got := make([]byte, width), make([]byte, width)
			for i := range ones {
				ones[i] = 0xff
			}
			f.WriteTable(offset, ones)
			f.ReadTable(offset, got)
			want := make([]byte, width)
			if good {
				copy(want, ones)
				if last := int(offset) + width; last%16 == 0 {
					copy(want[width-4:], []byte{masked, 0, 0, 0}) // the rest is reserved
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d bytes at %d: % x, want % x", width, offset, got, want)
			}
			f.WriteTable(offset, make([]byte, width))
			f.ReadPBA(offset, got)
		}
	}
}

// TestTraffic changes everything while vectors signal: for the race detector.
func TestTraffic(t *testing.T) {
	f := newFixture(t)
	var signallers sync.WaitGroup
	for i := range vectors {
		signallers.Go(func() {
			for range 500 {
				f.Signal(i)
			}
		})
	}
	for i := range 500 {
		f.control(byte(i * 16))
		f.program(i%vectors, first)
		f.set(i%vectors, 3, uint32(i&1))
		f.pending()
		f.ClearPending()
	}
	signallers.Wait()
	f.control(enable)
	f.program(0, second)
	f.Signal(0)
	if sent := f.vectors[0].Sent(); sent[len(sent)-1] != second {
		t.Errorf("sent %x last", sent[len(sent)-1])
	}
}

func TestNewRefuses(t *testing.T) {
	for _, n := range []int{0, msix.MaxVectors + 1} {
		if _, err := msix.New(msix.Config{Vectors: make([]msix.Vector, n)}); err == nil {
			t.Errorf("%d vectors accepted", n)
		}
	}
}
