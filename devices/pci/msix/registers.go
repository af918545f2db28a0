package msix

import "encoding/binary"

const (
	capabilityID   = 0x11 // appendix H
	capabilitySize = 12

	// Message Control; section 6.8.2.3. The bits below are the table's size.
	controlEnable  = 1 << 15
	controlMaskAll = 1 << 14
	controlOffset  = 2

	// An entry's registers, by dword; section 6.8.2.
	regAddressLow  = 0
	regAddressHigh = 1
	regData        = 2
	regControl     = 3
	entryRegisters = 4

	controlMasked = 1 << 0 // section 6.8.2.9; the other bits are reserved

	// EntrySize is what a vector takes of the table, in bytes.
	EntrySize = 4 * entryRegisters
)

// ID implements pci.Capability.
func (t *Table) ID() uint8 { return capabilityID }

// Size implements pci.Capability.
func (t *Table) Size() int { return capabilitySize }

// Read implements pci.Capability.
func (t *Table) Read(offset uint64, data []byte) {
	var b [capabilitySize]byte
	le := binary.LittleEndian
	t.mu.RLock()
	le.PutUint16(b[controlOffset:], t.control)
	t.mu.RUnlock()
	le.PutUint32(b[4:], t.config.Table|uint32(t.config.BAR)) // sections 6.8.2.4 and 6.8.2.5
	le.PutUint32(b[8:], t.config.PBA|uint32(t.config.BAR))
	copy(data, b[offset:])
}

// Write implements pci.Capability: Message Control's upper byte is all there is
// to write.
func (t *Table) Write(offset uint64, data []byte) {
	const upper = controlOffset + 1
	if offset > upper || upper-offset >= uint64(len(data)) {
		return
	}
	const writable = controlEnable | controlMaskAll
	v := uint16(data[upper-offset]) << 8 & writable
	t.change(func() []entry {
		t.control = t.control&^writable | v
		return t.entries
	})
}

// ReadTable reads a vector's registers. Section 6.8.2: accesses are of 4 or 8
// aligned bytes, what others do is undefined; here they read zeroes and write
// nothing.
func (t *Table) ReadTable(offset uint64, data []byte) {
	clear(data)
	i, reg, ok := t.locate(offset, data)
	if !ok {
		return
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	for ; len(data) > 0; reg, data = reg+1, data[4:] {
		binary.LittleEndian.PutUint32(data, t.entries[i].registers[reg])
	}
}

// WriteTable writes a vector's registers.
func (t *Table) WriteTable(offset uint64, data []byte) {
	i, reg, ok := t.locate(offset, data)
	if !ok {
		return
	}
	t.change(func() []entry {
		for ; len(data) > 0; reg, data = reg+1, data[4:] {
			v := binary.LittleEndian.Uint32(data)
			if reg == regControl {
				v &= controlMasked
			}
			t.entries[i].registers[reg] = v
		}
		return t.entries[i : i+1]
	})
}

// ReadPBA reads pending bits, which nobody writes; section 6.8.2.10.
func (t *Table) ReadPBA(offset uint64, data []byte) {
	clear(data)
	if !aligned(offset, data) {
		return
	}
	for i := range 8 * uint64(len(data)) {
		if n := 8*offset + i; n < uint64(len(t.entries)) && t.entries[n].pending.Load() {
			data[i/8] |= 1 << (i % 8)
		}
	}
}

// change changes registers and then settles the entries that change returns.
func (t *Table) change(registers func() []entry) {
	if err := t.changeLocked(registers); err != nil {
		t.config.Fail(err) // without the lock: it may come back with an interrupt
	}
}

func (t *Table) changeLocked(registers func() []entry) (first error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	affected := registers()
	for i := range affected {
		if err := t.settle(&affected[i]); first == nil {
			first = err
		}
	}
	return first
}

// locate returns which entry's registers an access to the table is to, and the
// first of them.
func (t *Table) locate(offset uint64, data []byte) (i int, reg int, ok bool) {
	if !aligned(offset, data) || offset >= uint64(len(t.entries)*EntrySize) {
		return 0, 0, false
	}
	return int(offset / EntrySize), int(offset % EntrySize / 4), true
}

func aligned(offset uint64, data []byte) bool {
	n := uint64(len(data))
	return (n == 4 || n == 8) && offset%n == 0
}
