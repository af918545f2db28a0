package pager

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// fill brings in what isn't there between two offsets of one block, as far as the
// region goes that has the page that is needed; of huge memory the whole block.
func (p *Pager) fill(from, to, needed uint64) error {
	r := p.regionOf(needed)
	block := needed &^ (p.Around - 1)
	if p.Huge {
		from, to = block, block+p.Around
	}
	from, to = max(from, r.base), min(to, r.end())
	lock := &p.blocks[block/p.Around%uint64(len(p.blocks))]
	lock.Lock()
	defer lock.Unlock()
	if p.there.hasAll(from/pageSize, to/pageSize) {
		return nil // others were faster
	}
	for at := from; at < to; {
		at = p.there.end(at/pageSize, to/pageSize, true) * pageSize
		end := p.there.end(at/pageSize, to/pageSize, false) * pageSize
		if err := p.bring(at, end); err != nil {
			return err
		}
		p.there.add(at/pageSize, end/pageSize)
		at = end
	}
	if p.Huge && to-from == p.Around && !p.holes.any(from, to) {
		unix.Madvise(p.bytes(from, to), unix.MADV_COLLAPSE) // into one page; many will do as well
	}
	return nil
}

// bring has the kernel put in what is between two offsets, none of which is there.
// The caller has the block.
func (p *Pager) bring(from, to uint64) error {
	if p.failure.happened() {
		return p.fd.Zero(p.bytes(from, to))
	}
	for from < to {
		end, zero := p.Content.Extent(from, to)
		if p.Huge && end-from < p.Around {
			end, zero = to, false // a huge page has no holes
		}
		err := p.bringExtent(from, end, zero)
		if errors.Is(err, unix.ENOMEM) {
			err = fmt.Errorf("the host has no memory left for guest RAM: %w", err)
		}
		if err != nil {
			return err
		}
		from = end
	}
	return nil
}

func (p *Pager) bringExtent(from, to uint64, zero bool) error {
	if zero && p.Huge && p.holes.make(p, from, to) == nil {
		return nil // the kernel has huge ones
	}
	if zero {
		return p.fd.Zero(p.bytes(from, to)) // no memory, until somebody writes there
	}
	buf := p.buffers.Get().(*[]byte)
	defer p.buffers.Put(buf)
	b := (*buf)[:to-from]
	if err := p.read(b, from); err != nil {
		return err
	}
	return p.fd.Copy(p.bytes(from, to), b)
}
