package snapshot

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Content returns what RAM begins as that is Memory's, until Close.
func (s *Snapshot) Content() memory.Content {
	if len(s.layers) == 1 {
		return memory.FileContent(s.layers[0].file, s.Manifest.MemoryBytes)
	}
	return newLayered(s.layers, s.Manifest.MemoryBytes)
}

// layered is the content of several layers.
type layered struct {
	size  uint64
	parts []part // in ascending order, without gaps
}

// part is what one layer has of it.
type part struct {
	memory.Piece
	file memory.Content
}

func newLayered(layers []*layer, size uint64) *layered {
	c := &layered{size: size}
	for i, pieces := range visible(layers) {
		file := memory.FileContent(layers[i].file, layers[i].size)
		for _, p := range pieces {
			c.parts = append(c.parts, part{p, file})
		}
	}
	slices.SortFunc(c.parts, func(a, b part) int { return cmp.Compare(a.At, b.At) })
	return c
}

// at returns the part that has an offset, which is below c.size.
func (c *layered) at(offset uint64) part {
	i, found := slices.BinarySearchFunc(c.parts, offset, func(p part, offset uint64) int { return cmp.Compare(p.At, offset) })
	if !found {
		i--
	}
	return c.parts[i]
}

// ReadAt implements memory.Content.
func (c *layered) ReadAt(b []byte, offset int64) (n int, err error) {
	for n < len(b) {
		at := uint64(offset) + uint64(n)
		if offset < 0 || at >= c.size {
			return n, io.EOF
		}
		p := c.at(at)
		some := b[n:][:min(uint64(len(b)-n), p.End()-at)]
		got, err := p.file.ReadAt(some, int64(p.Offset+at-p.At))
		n += got
		if got < len(some) {
			return n, fmt.Errorf("read a snapshot's memory: %w", err)
		}
	}
	return n, nil
}

// Extent implements memory.Content.
func (c *layered) Extent(from, limit uint64) (to uint64, zero bool) {
	if from >= c.size {
		return limit, false // it can't be read, which reading says
	}
	p := c.at(from)
	shift := p.Offset - p.At // may be less than none
	end, zero := p.file.Extent(from+shift, min(limit, p.End())+shift)
	return end - shift, zero
}
