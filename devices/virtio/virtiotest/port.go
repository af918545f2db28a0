package virtiotest

import (
	"encoding/binary"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/pci"
	"github.com/bulkhead-vm/bulkhead/devices/pci/pcitest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Transport names one.
type Transport string

// The transports.
const (
	MMIO Transport = "mmio"
	PCI  Transport = "pci"
)

// Transports returns all there are.
func Transports() []Transport { return []Transport{MMIO, PCI} }

// Port is a device behind a transport, at whose registers a test is the
// driver.
type Port struct {
	*virtio.Common
	Transport Transport
	// Config is where the device's own configuration is in the registers, and
	// Size how large they are.
	Config, Size uint64
	// Board is what is around a device behind PCI. nil: it isn't.
	Board *Board

	transport transport
	registers space
	where     map[Register]place
	doorbell  func(queue uint32) place // with the value that rings it
	interrupt func(queue int) *eventfd.EventFD
	close     func() error
}

// space is a register file.
type space interface {
	Read(offset uint64, data []byte)
	Write(offset uint64, data []byte)
}

// place is where a register is, and how many bytes it has.
type place struct {
	offset uint64
	width  int
}

// Plug puts dev behind a transport, as firmware and a driver's bus would leave it.
// report is as New of the transports takes it. The caller closes the port.
func Plug(t testing.TB, transport Transport, dev virtio.Device, mem *memory.Memory, report func(error)) *Port {
	t.Helper()
	p := PlugBare(t, transport, dev, mem, report)
	if p.Board != nil {
		p.Board.enable()
	}
	return p
}

// PlugBare is Plug but for what a guest does first.
func PlugBare(t testing.TB, transport Transport, dev virtio.Device, mem *memory.Memory, report func(error)) *Port {
	t.Helper()
	if transport == PCI {
		return plugPCI(t, dev, mem, report)
	}
	return plugMMIO(t, dev, mem, report)
}

// Close closes the transport.
func (p *Port) Close() error { return p.close() }

// Read reads from the registers at an offset. Beyond their end nothing answers.
func (p *Port) Read(offset uint64, data []byte) {
	if p.holds(offset, data) {
		p.registers.Read(offset, data)
	}
}

// Write writes to them.
func (p *Port) Write(offset uint64, data []byte) {
	if p.holds(offset, data) {
		p.registers.Write(offset, data)
	}
}

// holds reports whether a bus would bring an access here.
func (p *Port) holds(offset uint64, data []byte) bool {
	return offset < p.Size && uint64(len(data)) <= p.Size-offset
}

// Set writes a register, as much of v as it holds.
func (p *Port) Set(r Register, v uint32) { p.put(p.where[r], v) }

// Get reads a register.
func (p *Port) Get(r Register) uint32 {
	var b [4]byte
	p.Read(p.where[r].offset, b[:p.where[r].width])
	return binary.LittleEndian.Uint32(b[:])
}

// Offset returns where a register is.
func (p *Port) Offset(r Register) uint64 { return p.where[r].offset }

// Width returns how many bytes a register has.
func (p *Port) Width(r Register) int { return p.where[r].width }

// Notify rings a queue's doorbell, or that of a queue there isn't.
func (p *Port) Notify(queue uint32) { p.put(p.doorbell(queue), queue) }

// Interrupt returns what counts a queue's interrupts. Behind MMIO it is the
// same for all, and for the configuration's.
func (p *Port) Interrupt(queue int) *eventfd.EventFD { return p.interrupt(queue) }

func (p *Port) put(at place, v uint32) {
	p.Write(at.offset, binary.LittleEndian.AppendUint32(nil, v)[:at.width])
}

// Board is what a device behind PCI is plugged into, as device 1 of its bus.
type Board struct {
	*pcitest.Guest
	*Platform
	Root  *pci.Root
	BAR   uint64 // where the machine put it
	Table uint64 // where the MSI-X table is, from there
}
