// Package pcitest is a guest's side of a PCI bus, and what a machine has to
// give it: for tests of functions.
package pcitest

import (
	"encoding/binary"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/bus"
	"github.com/bulkhead-vm/bulkhead/devices/pci"
)

// Registers of configuration space; PCI 3.0, sections 6.1 and 6.8.2.
const (
	Command      = 0x04
	Status       = 0x06
	BAR0         = 0x10
	Capabilities = 0x34

	CommandMemory = 1 << 1
	CommandMaster = 1 << 2

	// Of the MSI-X capability.
	MSIXControl = 2
	MSIXTable   = 4
	MSIXEnable  = 1 << 15
	MSIXMaskAll = 1 << 14
)

// IDs of capabilities; PCI 3.0, appendix H.
const (
	IDVendor = 0x09
	IDMSIX   = 0x11
)

const portAddress, portData = 0xcf8, 0xcfc

// Guest reaches a bus as processors do, through its ports and its window.
type Guest struct {
	IO, Memory *bus.Bus
}

// NewGuest returns one of root's.
func NewGuest(t testing.TB, root *pci.Root) *Guest {
	t.Helper()
	io, err := bus.New(root.Ports())
	if err != nil {
		t.Fatal(err)
	}
	memory, err := bus.New(root.Memory())
	if err != nil {
		t.Fatal(err)
	}
	return &Guest{io, memory}
}

// Select has the data port lead to a register of function 0 of a device.
func (g *Guest) Select(device, reg int) {
	address := uint32(1<<31 | device<<11 | reg&^3)
	g.IO.Write(portAddress, binary.LittleEndian.AppendUint32(nil, address))
}

// Config reads a register of width bytes.
func (g *Guest) Config(device, reg, width int) uint32 {
	g.Select(device, reg)
	var b [4]byte
	g.IO.Read(uint64(portData+reg&3), b[:width])
	return binary.LittleEndian.Uint32(b[:])
}

// SetConfig writes a register of width bytes.
func (g *Guest) SetConfig(device, reg, width int, v uint32) {
	g.Select(device, reg)
	g.IO.Write(uint64(portData+reg&3), binary.LittleEndian.AppendUint32(nil, v)[:width])
}

// Capability is an entry of a capability list.
type Capability struct {
	ID uint8
	At int // the register it starts at
}

// List walks a device's capability list, and no further than it can go.
func (g *Guest) List(device int) (all []Capability) {
	for at := int(g.Config(device, Capabilities, 1)); at != 0 && len(all) < 64; at = int(g.Config(device, at+1, 1)) {
		all = append(all, Capability{uint8(g.Config(device, at, 1)), at})
	}
	return all
}

// Find returns the register where the first capability with the ID starts, 0
// if there is none.
func (g *Guest) Find(device int, id uint8) int {
	for _, c := range g.List(device) {
		if c.ID == id {
			return c.At
		}
	}
	return 0
}

// Read reads 1 to 8 bytes of the bus's memory.
func (g *Guest) Read(gpa uint64, width int) uint64 {
	var b [8]byte
	g.Memory.Read(gpa, b[:width])
	return binary.LittleEndian.Uint64(b[:])
}

// Write writes 1 to 8 bytes of the bus's memory.
func (g *Guest) Write(gpa uint64, width int, v uint64) {
	g.Memory.Write(gpa, binary.LittleEndian.AppendUint64(nil, v)[:width])
}
