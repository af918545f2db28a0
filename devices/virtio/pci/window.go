package pci

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

const (
	windowData = capSize // pci_cfg_data; section 4.1.4.9
	windowSize = windowData + 4
)

// window is the capability through which a driver reaches the structures in
// BAR 0 by configuration space alone; section 4.1.4.9.
type window struct {
	t          *Transport
	structures []structure

	mu   sync.Mutex // the rest; not held during an access to a structure
	data [windowSize]byte
}

func newWindow(t *Transport) *window {
	w := &window{t: t, structures: t.structures()}
	copy(w.data[:], structure{kind: typeWindow}.capability(make([]byte, windowSize-capSize)...))
	return w
}

func (*window) ID() uint8 { return capabilityID }

func (*window) Size() int { return windowSize }

// Read implements pci.Capability. Section 4.1.4.9.1: a read of the data is one
// of the structure.
func (w *window) Read(offset uint64, data []byte) {
	if offset >= windowData {
		if at, n := w.target(); n > 0 {
			var b [4]byte
			(*region)(w.t).Read(at, b[:n])
			w.mu.Lock()
			copy(w.data[windowData:], b[:n])
			w.mu.Unlock()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	copy(data, w.data[offset:])
}

// Write implements pci.Capability.
func (w *window) Write(offset uint64, data []byte) {
	w.mu.Lock()
	for i, b := range data {
		if at := offset + uint64(i); at == capBAR || at >= capOffset {
			w.data[at] = b
		}
	}
	written := [4]byte(w.data[windowData:])
	w.mu.Unlock()
	if offset >= windowData {
		if at, n := w.target(); n > 0 {
			(*region)(w.t).Write(at, written[:n])
		}
	}
}

// target returns the n bytes of BAR 0 that an access to the data goes to. A
// length of 0 is a window that nobody has set, and goes nowhere: whole
// configuration spaces are read for their contents. What section 4.1.4.9.2
// forbids is the driver's mistake.
func (w *window) target() (at uint64, n int) {
	w.mu.Lock()
	bar := w.data[capBAR]
	offset := binary.LittleEndian.Uint32(w.data[capOffset:])
	length := binary.LittleEndian.Uint32(w.data[capLengthOf:])
	w.mu.Unlock()
	switch {
	case length == 0:
		return 0, 0
	case (length == 1 || length == 2 || length == 4) && offset%length == 0 && bar == 0 && w.reaches(offset, length):
		return uint64(offset), int(length)
	}
	w.t.Fail(&virtqueue.ProtocolError{Section: "4.1.4.9.2",
		What: fmt.Sprintf("configuration access to %d bytes at %#x of BAR %d", length, offset, bar)})
	return 0, 0
}

// reaches reports whether a structure has n bytes at offset.
func (w *window) reaches(offset, n uint32) bool {
	for _, s := range w.structures {
		if offset >= s.offset && uint64(offset)+uint64(n) <= uint64(s.offset)+uint64(s.length) {
			return true
		}
	}
	return false
}

func (w *window) save() *statev1.PCIWindow {
	w.mu.Lock()
	defer w.mu.Unlock()
	le := binary.LittleEndian
	return &statev1.PCIWindow{
		Bar:    uint32(w.data[capBAR]),
		Offset: le.Uint32(w.data[capOffset:]),
		Length: le.Uint32(w.data[capLengthOf:]),
		Data:   le.Uint32(w.data[windowData:]),
	}
}

// restore takes what save gave. Where it leads is looked at when it is used.
func (w *window) restore(s *statev1.PCIWindow) {
	w.mu.Lock()
	defer w.mu.Unlock()
	le := binary.LittleEndian
	w.data[capBAR] = uint8(s.GetBar())
	le.PutUint32(w.data[capOffset:], s.GetOffset())
	le.PutUint32(w.data[capLengthOf:], s.GetLength())
	le.PutUint32(w.data[windowData:], s.GetData())
}
