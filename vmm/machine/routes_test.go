package machine

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/pci"
	"github.com/bulkhead-vm/bulkhead/devices/pci/msix"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/rng"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm/kvmtest"
)

// TestPinRoutes holds the table to what a PC has: 24 pins of the IOAPIC, 8 of
// each PIC.
func TestPinRoutes(t *testing.T) {
	type pin struct{ chip, pin uint32 }
	seen := map[pin]uint32{}
	for _, r := range pinRoutes() {
		if _, ok := seen[pin{r.Chip, r.Pin}]; ok || r.MSI != nil {
			t.Errorf("a second route, or a message: %+v", r)
		}
		seen[pin{r.Chip, r.Pin}] = r.GSI
	}
	for gsi := range uint32(24) {
		if got, ok := seen[pin{kvm.ChipIOAPIC, gsi}]; !ok || got != gsi {
			t.Errorf("IOAPIC pin %d has GSI %d", gsi, got)
		}
	}
	for i := range uint32(8) {
		if seen[pin{kvm.ChipPICMaster, i}] != i || seen[pin{kvm.ChipPICSlave, i}] != 8+i {
			t.Errorf("pin %d of the PICs: %v", i, seen)
		}
	}
	if len(seen) != 24+8+8 {
		t.Errorf("%d routes", len(seen))
	}
}

// TestRoutes sets messages by turns: each GSI has one, and the pins stay.
func TestRoutes(t *testing.T) {
	g := kvmtest.New(t, []byte{0xf4}, kvmtest.WithIRQChip)
	r := newRoutes(g.VM)
	pins := len(r.table)
	for i := range uint32(10) {
		kvmtest.Must(t, r.set(firstMessageGSI+i%3, msix.Message{Address: 0xfee00000, Data: i}))
	}
	if len(r.table) != pins+3 {
		t.Fatalf("%d routes, want %d pins and 3 messages", len(r.table), pins)
	}
	for i, want := range []uint32{9, 7, 8} {
		if got := r.table[pins+i]; got.GSI != firstMessageGSI+uint32(i) || got.MSI.Data != want {
			t.Errorf("route %+v with %+v, want the data %d", got, got.MSI, want)
		}
	}
}

// TestVectorRefused has KVM refuse a route: the vector is silent, not at its
// old message.
func TestVectorRefused(t *testing.T) {
	g := kvmtest.New(t, []byte{0xf4}, kvmtest.WithIRQChip)
	event, err := eventfd.New()
	kvmtest.Must(t, err)
	defer event.Close()
	r := newRoutes(g.VM)
	v := &vector{routes: r, gsi: firstMessageGSI, event: event}
	kvmtest.Must(t, v.Route(msix.Message{Address: 0xfee00000, Data: 0x41}))
	r.table = make([]kvm.Route, 2000)
	if err := v.Route(msix.Message{}); err == nil {
		t.Fatal("too many routes were accepted")
	}
	v.Signal()
	var b [8]byte
	if _, err := unix.Read(event.FD(), b[:]); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("it signals a message that isn't its own: %v", err)
	}
}

func TestTooManyDevices(t *testing.T) {
	for transport, most := range map[Transport]int{MMIO: 19, PCI: pci.MaxFunctions} {
		c := Config{Transport: transport, Devices: make([]Device, most)}
		if _, err := c.withDefaults(); err != nil {
			t.Errorf("%v: %v", transport, err)
		}
		c.Devices = make([]Device, most+1)
		if _, err := c.withDefaults(); err == nil || !strings.Contains(err.Error(), transport.String()) {
			t.Errorf("%v: %v", transport, err)
		}
	}
	if _, err := (Config{Transport: 9}).withDefaults(); err == nil {
		t.Error("a transport that isn't there was accepted")
	}
}

// TestFullBus plugs in as many devices as a bus has room for.
func TestFullBus(t *testing.T) {
	g := kvmtest.New(t, []byte{0xf4}, kvmtest.WithIRQChip)
	m := &Machine{vm: g.VM, done: make(chan struct{})}
	var c Config
	for range pci.MaxFunctions {
		c.Devices = append(c.Devices, Device{Name: "rng", Device: rng.New(rng.Config{})})
	}
	c.Transport = PCI
	r, err := m.createDevices(c)
	kvmtest.Must(t, err)
	if len(r.ports) != 1 || len(r.memory) != 1 {
		t.Errorf("ranges %+v", r)
	}
	if err := m.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
}
