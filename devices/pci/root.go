package pci

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/bulkhead-vm/bulkhead/devices/bus"
)

// MaxFunctions is how many functions a bus has room for beside its host bridge:
// one for each device number but 0.
const MaxFunctions = 31

// hostBridge is what guests look for before they trust that there is a bus:
// Red Hat's, a generic one that no driver expects anything of.
func hostBridge() Config { return Config{Vendor: 0x1b36, Device: 0x0008, Class: 0x060000} }

// Root is a bus 0: a host bridge as device 0, and functions as the first of
// device 1, 2, ...
type Root struct {
	window    Window
	functions []*function // by device number; doesn't change
	ports     ports

	decoded atomic.Pointer[bus.Bus] // by the offset in the window

	// mu guards the functions' headers and what is decoded. Held while
	// regions are mapped; capabilities are called without it.
	mu sync.Mutex
}

// NewRoot returns a bus of the functions. Each finds its BAR set to an address
// in the window, as firmware would leave it, and its memory not yet decoded.
func NewRoot(window Window, functions ...Config) (*Root, error) {
	if len(functions) > MaxFunctions {
		return nil, fmt.Errorf("pci: %d functions: a bus has room for %d", len(functions), MaxFunctions)
	}
	r := &Root{window: window}
	r.ports.root = r
	next := uint64(window.Start)
	for _, c := range slices.Concat([]Config{hostBridge()}, functions) {
		if c.Region != nil {
			size := uint64(c.Region.Size())
			if size < minRegion || size&(size-1) != 0 {
				return nil, fmt.Errorf("pci: region of %d bytes: a power of two from %d on is needed", size, minRegion)
			}
			next = (next + size - 1) &^ (size - 1)
			if next+size > uint64(window.Start)+uint64(window.Size) {
				return nil, errors.New("pci: the functions' memory is larger than the bus's window")
			}
		}
		f, err := newFunction(c, uint32(next))
		if err != nil {
			return nil, err
		}
		if c.Region != nil {
			next += uint64(c.Region.Size())
		}
		r.functions = append(r.functions, f)
	}
	r.decoded.Store(new(bus.Bus))
	return r, nil
}

func (r *Root) readConfig(f *function, reg int, data []byte) {
	clear(data)
	if reg >= headerSize {
		if c := f.capability(reg); c != nil {
			c.read(reg, data)
		}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f.readHeader(reg, data)
}

func (r *Root) writeConfig(f *function, reg int, data []byte) {
	if reg >= headerSize {
		if c := f.capability(reg); c != nil {
			c.write(reg, data)
		}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f.writeHeader(reg, data)
	r.remap()
}
