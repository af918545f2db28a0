package pci

import "github.com/bulkhead-vm/bulkhead/devices/bus"

// Memory returns the bus's window, for the machine's memory space.
func (r *Root) Memory() bus.Range {
	return bus.Range{Start: uint64(r.window.Start), Size: uint64(r.window.Size), Name: "pci memory", Handler: (*memory)(r)}
}

// memory is the window of a bus.
type memory Root

// Read implements bus.Handler.
func (m *memory) Read(offset uint64, data []byte) { m.decoded.Load().Read(offset, data) }

// Write implements bus.Handler.
func (m *memory) Write(offset uint64, data []byte) { m.decoded.Load().Write(offset, data) }

// remap has the window show what the headers say. The caller holds r.mu.
//
// Guests move BARs as they like. A region that they put outside the window, or
// over that of a lower device, can't be reached until they move it again: the
// host bridge forwards nothing else, and on a real bus two answers at once are
// none.
func (r *Root) remap() {
	var ranges []bus.Range
	type move struct {
		*function
		to uint32
	}
	var moves []move
	for _, f := range r.functions {
		at, ok := r.decodes(f, ranges)
		if ok {
			ranges = append(ranges, bus.Range{
				Start: uint64(at - r.window.Start), Size: uint64(f.Region.Size()), Handler: f.Region,
			})
		}
		if at != f.at {
			moves = append(moves, move{f, at})
		}
	}
	if len(moves) == 0 {
		return
	}
	for _, m := range moves {
		if m.at != 0 {
			m.Region.Unmap()
		}
	}
	if decoded, err := bus.New(ranges...); err == nil { // they don't overlap
		r.decoded.Store(decoded)
	}
	for _, m := range moves {
		if m.at = m.to; m.to != 0 {
			m.Region.Map(uint64(m.to))
		}
	}
}

// decodes returns where f is reached beside the ranges that are decoded
// already, 0 if it isn't.
func (r *Root) decodes(f *function, ranges []bus.Range) (at uint32, ok bool) {
	at, ok = f.bar()
	if !ok || at < r.window.Start {
		return 0, false
	}
	start, size := uint64(at-r.window.Start), uint64(f.Region.Size())
	if start+size > uint64(r.window.Size) {
		return 0, false
	}
	for _, x := range ranges {
		if start < x.Start+x.Size && x.Start < start+size {
			return 0, false
		}
	}
	return at, true
}
