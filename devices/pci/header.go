package pci

import (
	"encoding/binary"
	"fmt"
)

// Registers of a type 00h header by offset; section 6.1, figure 6-1.
const (
	regVendor          = 0x00
	regDevice          = 0x02
	regCommand         = 0x04
	regStatus          = 0x06
	regRevision        = 0x08 // and the class above it
	regBAR0            = 0x10
	regSubsystemVendor = 0x2c
	regSubsystem       = 0x2e
	regCapabilities    = 0x34
	regInterruptLine   = 0x3c

	headerSize = 0x40
	spaceSize  = 0x100
)

const (
	// Command, section 6.2.2. The I/O space bit is hardwired to 0, as nothing
	// here is in I/O space.
	commandMemory           = 1 << 1
	commandMaster           = 1 << 2
	commandInterruptDisable = 1 << 10

	// Status, section 6.2.3.
	statusInterrupt    = 1 << 3
	statusCapabilities = 1 << 4

	minRegion = 16 // section 6.2.5.1: the bits below say what kind it is
)

// function is one as the bus has it. The bus's lock guards header and at.
type function struct {
	Config
	header   [headerSize]byte
	writable [headerSize]byte // the bits of it
	caps     []placed
	at       uint32 // where Region is decoded, 0: nowhere
}

// newFunction lays out a function whose BAR, if it has one, starts out at bar.
func newFunction(c Config, bar uint32) (*function, error) {
	f := &function{Config: c}
	le := binary.LittleEndian
	le.PutUint16(f.header[regVendor:], c.Vendor)
	le.PutUint16(f.header[regDevice:], c.Device)
	le.PutUint32(f.header[regRevision:], c.Class<<8|uint32(c.Revision))
	le.PutUint16(f.header[regSubsystemVendor:], c.SubsystemVendor)
	le.PutUint16(f.header[regSubsystem:], c.Subsystem)
	command := uint16(commandMaster | commandInterruptDisable)
	if c.Region != nil {
		command |= commandMemory
		// Section 6.2.5.1: 32 bits, not prefetchable; the low bits are
		// hardwired, and so tell the size.
		le.PutUint32(f.header[regBAR0:], bar)
		le.PutUint32(f.writable[regBAR0:], -c.Region.Size())
	}
	le.PutUint16(f.writable[regCommand:], command)
	f.writable[regInterruptLine] = 0xff // section 6.2.4: the guest's own note
	return f, f.place()
}

// place puts the capabilities behind the header.
func (f *function) place() error {
	at := headerSize
	for _, c := range f.Capabilities {
		if c.Size()%4 != 0 || at+c.Size() > spaceSize {
			return fmt.Errorf("pci: capability %#x of %d bytes doesn't fit at %#x", c.ID(), c.Size(), at)
		}
		f.caps = append(f.caps, placed{Capability: c, at: at})
		at += c.Size()
	}
	if len(f.caps) == 0 {
		return nil
	}
	for i := range f.caps[1:] {
		f.caps[i].next = uint8(f.caps[i+1].at)
	}
	f.header[regStatus] |= statusCapabilities
	f.header[regCapabilities] = headerSize
	return nil
}

func (f *function) capability(reg int) *placed {
	for i := range f.caps {
		if c := &f.caps[i]; reg >= c.at && reg < c.at+c.Size() {
			return c
		}
	}
	return nil
}

// bar returns where BAR 0 says that Region is, if the guest has it decoded.
func (f *function) bar() (at uint32, decoded bool) {
	if f.Region == nil || f.header[regCommand]&commandMemory == 0 {
		return 0, false
	}
	return binary.LittleEndian.Uint32(f.header[regBAR0:]), true
}

func (f *function) readHeader(reg int, data []byte) {
	copy(data, f.header[reg:])
	if i := regStatus - reg; i >= 0 && i < len(data) && f.Interrupting != nil && f.Interrupting() {
		data[i] |= statusInterrupt
	}
}

func (f *function) writeHeader(reg int, data []byte) {
	for i, b := range data {
		mask := f.writable[reg+i]
		f.header[reg+i] = f.header[reg+i]&^mask | b&mask
	}
}

// placed is a capability with its place in configuration space.
type placed struct {
	Capability
	at   int
	next uint8
}

func (c *placed) read(reg int, data []byte) {
	offset := reg - c.at
	for first := [2]uint8{c.ID(), c.next}; offset < len(first) && len(data) > 0; offset++ {
		data[0], data = first[offset], data[1:]
	}
	if len(data) > 0 {
		c.Read(uint64(offset), data)
	}
}

func (c *placed) write(reg int, data []byte) {
	offset := reg - c.at
	if offset < 2 {
		data = data[min(2-offset, len(data)):]
		offset = 2
	}
	if len(data) > 0 {
		c.Write(uint64(offset), data)
	}
}
