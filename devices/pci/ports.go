package pci

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/bulkhead-vm/bulkhead/devices/bus"
)

// Where configuration mechanism #1 is in I/O space; section 3.2.2.3.2.
const (
	PortAddress = 0xcf8
	PortCount   = 8

	portData = 0xcfc
)

// Fields of CONFIG_ADDRESS.
const (
	addressEnable   = 1 << 31
	addressReserved = 0x7f000003 // read as 0
)

// ports is configuration mechanism #1.
type ports struct {
	root *Root
	// address is CONFIG_ADDRESS. Guests serialise its use; if they don't, they
	// reach another register of their own machine.
	address atomic.Uint32
}

// Ports returns the two ports through which a guest reaches configuration
// space, for the machine's I/O space.
func (r *Root) Ports() bus.Range {
	return bus.Range{Start: PortAddress, Size: PortCount, Name: "pci configuration", Handler: &r.ports}
}

// Read implements bus.Handler.
func (p *ports) Read(offset uint64, data []byte) {
	for i := range data {
		data[i] = 0xff
	}
	switch {
	case offset == 0 && len(data) == 4:
		binary.LittleEndian.PutUint32(data, p.address.Load())
	case offset >= portData-PortAddress:
		if f, reg := p.target(offset); f != nil {
			p.root.readConfig(f, reg, data)
		}
	}
}

// Write implements bus.Handler. Section 3.2.2.3.2: only four bytes at once
// change CONFIG_ADDRESS; others would go to what else is on the bus.
func (p *ports) Write(offset uint64, data []byte) {
	switch {
	case offset == 0 && len(data) == 4:
		p.address.Store(binary.LittleEndian.Uint32(data) &^ addressReserved)
	case offset >= portData-PortAddress:
		if f, reg := p.target(offset); f != nil {
			p.root.writeConfig(f, reg, data)
		}
	}
}

// target returns the function and register that an access to CONFIG_DATA goes
// to. nil: there is none, as on every bus but 0 and in functions but the first.
func (p *ports) target(offset uint64) (*function, int) {
	address := p.address.Load()
	busNumber, device, number := address>>16&0xff, int(address>>11&0x1f), address>>8&7
	if address&addressEnable == 0 || busNumber != 0 || number != 0 || device >= len(p.root.functions) {
		return nil, 0
	}
	return p.root.functions[device], int(address&0xfc) + int(offset&3)
}
