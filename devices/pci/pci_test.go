package pci_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/pci"
	"github.com/bulkhead-vm/bulkhead/devices/pci/pcitest"
)

const windowStart, windowSize, regionSize = 0xe000_0000, 0x10_0000, 0x1000

// region is memory that reads as its number, and says where it is.
type region struct {
	number byte
	size   uint32
	at     uint64 // 0: nowhere
	events []string
	writes int
}

func (r *region) Size() uint32 { return r.size }

func (r *region) Read(offset uint64, data []byte) {
	for i := range data {
		data[i] = r.number
	}
}

func (r *region) Write(uint64, []byte) { r.writes++ }

func (r *region) Map(gpa uint64) {
	r.at = gpa
	r.events = append(r.events, fmt.Sprintf("map %#x", gpa))
}

func (r *region) Unmap() {
	r.at = 0
	r.events = append(r.events, "unmap")
}

// scratch is a capability of memory.
type scratch []byte

func (scratch) ID() uint8                         { return pcitest.IDVendor }
func (s scratch) Size() int                       { return len(s) }
func (s scratch) Read(offset uint64, data []byte) { copy(data, s[offset:]) }

func (s scratch) Write(offset uint64, data []byte) { copy(s[offset:], data) }

type fixture struct {
	*pcitest.Guest
	root    *pci.Root
	regions []*region
}

// newFixture makes a bus of n functions with memory, as devices 1 to n.
func newFixture(t testing.TB, n int) *fixture {
	t.Helper()
	f := &fixture{}
	var functions []pci.Config
	for i := range n {
		r := &region{number: byte(i + 1), size: regionSize}
		f.regions = append(f.regions, r)
		functions = append(functions, pci.Config{
			Vendor: 0x1af4, Device: 0x1040 + uint16(i), Revision: 1, Class: 0x020406,
			SubsystemVendor: 0x1234, Subsystem: 0x5678,
			Region:       r,
			Capabilities: []pci.Capability{make(scratch, 12), make(scratch, 20)},
		})
	}
	var err error
	if f.root, err = pci.NewRoot(pci.Window{Start: windowStart, Size: windowSize}, functions...); err != nil {
		t.Fatal(err)
	}
	f.Guest = pcitest.NewGuest(t, f.root)
	return f
}

// decode moves a device's memory, or just turns it on if at is 0.
func (f *fixture) decode(device int, at uint32) {
	if at != 0 {
		f.SetConfig(device, pcitest.BAR0, 4, at)
	}
	f.SetConfig(device, pcitest.Command, 2, pcitest.CommandMemory)
}

func TestHeader(t *testing.T) {
	f := newFixture(t, 2)
	for _, tt := range []struct {
		device, reg, width int
		want               uint32
	}{
		{0, 0x00, 4, 0x00081b36},
		{0, 0x08, 4, 0x06000000}, // a host bridge
		{0, pcitest.Capabilities, 1, 0},
		{0, pcitest.BAR0, 4, 0},
		{2, 0x00, 4, 0x10411af4},
		{2, 0x02, 2, 0x1041},
		{2, 0x03, 1, 0x10},
		{2, pcitest.Command, 2, 0},
		{2, pcitest.Status, 2, 0x10},
		{2, 0x08, 4, 0x02040601},
		{2, 0x0c, 4, 0},
		{2, pcitest.BAR0, 4, windowStart + regionSize},
		{2, 0x14, 4, 0},
		{2, 0x2c, 4, 0x56781234},
		{2, 0x30, 4, 0}, // no ROM
		{2, 0x3c, 4, 0}, // no interrupt pin
		{2, 0xfc, 4, 0}, // behind the capabilities
		{3, 0x00, 4, 0xffffffff},
		{31, 0x00, 2, 0xffff},
	} {
		if got := f.Config(tt.device, tt.reg, tt.width); got != tt.want {
			t.Errorf("device %d register %#x is %#x, want %#x", tt.device, tt.reg, got, tt.want)
		}
	}
}

// TestWritable writes ones everywhere: what may change changes.
func TestWritable(t *testing.T) {
	want := map[int]uint32{
		pcitest.Command: 0x10<<16 | 0x0406,
		pcitest.BAR0:    0xffff_f000,
		0x3c:            0xff,
	}
	f := newFixture(t, 1)
	for reg := 0; reg < 0x40; reg += 4 {
		before := f.Config(1, reg, 4)
		f.SetConfig(1, reg, 4, 0xffffffff)
		after := f.Config(1, reg, 4)
		w, ok := want[reg]
		if !ok {
			w = before
		}
		if after != w {
			t.Errorf("register %#x is %#x after ones were written, want %#x", reg, after, w)
		}
		f.SetConfig(1, reg, 4, before)
	}
}

func TestCapabilityList(t *testing.T) {
	f := newFixture(t, 1)
	want := []pcitest.Capability{{ID: pcitest.IDVendor, At: 0x40}, {ID: pcitest.IDVendor, At: 0x4c}}
	if got := f.List(1); !slices.Equal(got, want) {
		t.Fatalf("list %v, want %v", got, want)
	}
	f.SetConfig(1, 0x4c, 4, 0xaabbccdd)
	if got := f.Config(1, 0x4c, 4); got != 0xaabb0009 {
		t.Errorf("%#x: ID and pointer are read-only, the rest is the capability's", got)
	}
	f.SetConfig(1, 0x4d, 2, 0x1122)
	if got := f.Config(1, 0x4c, 4); got != 0xaa110009 && got != 0xaabb0009 {
		t.Errorf("%#x after a write across the pointer", got)
	}
	f.SetConfig(1, 0x5c, 4, 0x01020304)
	if got := f.Config(1, 0x5d, 1); got != 3 {
		t.Errorf("the last register's second byte is %#x", got)
	}
}

// TestAddress holds the address port to section 3.2.2.3.2.
func TestAddress(t *testing.T) {
	f := newFixture(t, 1)
	read := func(port uint64, n int) []byte {
		b := make([]byte, n)
		f.IO.Read(port, b)
		return b
	}
	f.IO.Write(0xcf8, []byte{0xff, 0xff, 0xff, 0xff})
	if got := read(0xcf8, 4); !slices.Equal(got, []byte{0xfc, 0xff, 0xff, 0x80}) {
		t.Errorf("address % x: bits 30 to 24, 1 and 0 are zero", got)
	}
	f.Select(1, 0)
	for _, p := range [][]byte{{0}, {0, 0}, {0, 0, 0}} {
		for port := uint64(0xcf8); port+uint64(len(p)) <= 0xcfc; port++ {
			f.IO.Write(port, p)
			if got := read(port, len(p)); got[0] != 0xff {
				t.Errorf("%d bytes at %#x: % x, want none there", len(p), port, got)
			}
		}
	}
	if got := read(0xcfc, 4); !slices.Equal(got, []byte{0xf4, 0x1a, 0x40, 0x10}) {
		t.Errorf("% x: writes narrower than the address changed it", got)
	}
	if got := read(0xcfd, 2); !slices.Equal(got, []byte{0x1a, 0x40}) {
		t.Errorf("% x in the middle of a register", got)
	}
	for name, address := range map[string]uint32{
		"off": 0x0000_0800, "bus 1": 0x8001_0800, "function 1": 0x8000_0900, "no device": 0x8000_f800,
	} {
		f.IO.Write(0xcf8, []byte{byte(address), byte(address >> 8), byte(address >> 16), byte(address >> 24)})
		f.IO.Write(0xcfc, []byte{1, 2, 3, 4})
		if got := read(0xcfc, 4); !slices.Equal(got, []byte{0xff, 0xff, 0xff, 0xff}) {
			t.Errorf("%s: % x, want nobody there", name, got)
		}
	}
}

// TestBAR sizes, enables, moves and disables a device's memory.
func TestBAR(t *testing.T) {
	f := newFixture(t, 2)
	r := f.regions[1]
	preset := f.Config(2, pcitest.BAR0, 4)
	if got := f.Read(uint64(preset), 1); got != 0xff || r.at != 0 {
		t.Errorf("decoded before it was enabled: %#x, at %#x", got, r.at)
	}
	f.SetConfig(2, pcitest.BAR0, 4, 0xffffffff)
	if got := f.Config(2, pcitest.BAR0, 4); got != 0xffff_f000 {
		t.Errorf("sized %#x", got)
	}
	f.decode(2, preset)
	if got := f.Read(uint64(preset)+regionSize-4, 4); got != 0x02020202 {
		t.Errorf("read %#x", got)
	}
	f.SetConfig(2, pcitest.BAR0, 4, windowStart+0x8_0000) // while it is enabled
	if got := f.Read(uint64(preset), 1); got != 0xff {
		t.Errorf("%#x where it was", got)
	}
	if got := f.Read(windowStart+0x8_0000, 1); got != 2 {
		t.Errorf("%#x where it is", got)
	}
	f.SetConfig(2, pcitest.Command, 2, pcitest.CommandMaster)
	if got := f.Read(windowStart+0x8_0000, 1); got != 0xff {
		t.Errorf("%#x with decoding off", got)
	}
	f.SetConfig(2, pcitest.Command, 1, 0) // nothing changes
	want := []string{fmt.Sprintf("map %#x", preset), "unmap", "map 0xe0080000", "unmap"}
	if !slices.Equal(r.events, want) {
		t.Errorf("%v, want %v", r.events, want)
	}
}

// TestBARElsewhere puts memory where the bus can't have it: nothing answers
// there, and all is well once it is put back.
func TestBARElsewhere(t *testing.T) {
	for name, at := range map[string]uint32{
		"0": 0x0000_0001, "RAM": 0x0010_0000, "local APIC": 0xfee0_0000, "below the window": windowStart - regionSize,
		"above the window": windowStart + windowSize, "the top": 0xffff_f000,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, 1)
			f.decode(1, 0)
			f.decode(1, at)
			if f.regions[0].at != 0 {
				t.Errorf("decoded at %#x", f.regions[0].at)
			}
			if got := f.Read(windowStart, 4); got != 0xffffffff {
				t.Errorf("%#x where it was", got)
			}
			f.decode(1, windowStart)
			if got := f.Read(windowStart, 4); got != 0x01010101 {
				t.Errorf("%#x after it was put back", got)
			}
		})
	}
}

// TestBARsOverlap puts two in one place: the lower device answers, and the
// other comes back when there is room.
func TestBARsOverlap(t *testing.T) {
	f := newFixture(t, 2)
	f.decode(2, windowStart+0x2000)
	f.decode(1, windowStart+0x2000)
	if got := f.Read(windowStart+0x2000, 1); got != 1 || f.regions[1].at != 0 {
		t.Errorf("%d answers, the other is at %#x", got, f.regions[1].at)
	}
	f.decode(1, windowStart)
	if got := f.Read(windowStart+0x2000, 1); got != 2 {
		t.Errorf("%#x after the first has moved", got)
	}
}

func TestNewRefuses(t *testing.T) {
	with := func(r *region) []pci.Config { return []pci.Config{{Region: r}} }
	for name, functions := range map[string][]pci.Config{
		"too many":          make([]pci.Config, 32),
		"odd size":          with(&region{size: 0x1800}),
		"tiny":              with(&region{size: 8}),
		"too large":         with(&region{size: 2 * windowSize}),
		"capability of 6":   {{Capabilities: []pci.Capability{make(scratch, 6)}}},
		"capabilities long": {{Capabilities: []pci.Capability{make(scratch, 100), make(scratch, 100)}}},
	} {
		if _, err := pci.NewRoot(pci.Window{Start: windowStart, Size: windowSize}, functions...); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := pci.NewRoot(pci.Window{Start: windowStart, Size: windowSize}, make([]pci.Config, 31)...); err != nil {
		t.Error(err)
	}
}
