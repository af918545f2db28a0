package pager

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// Release implements memory.Pager. It fails with ErrFragmented, and does nothing,
// where a guest gives back too many pieces that are apart.
func (p *Pager) Release(from, to uint64) error {
	for from < to {
		end := min(to, from&^(p.Around-1)+p.Around)
		if err := p.release(from, end); err != nil {
			return fmt.Errorf("give %d bytes of guest RAM back: %w", end-from, err)
		}
		from = end
	}
	return nil
}

// release gives back pages of one block.
func (p *Pager) release(from, to uint64) error {
	lock := &p.blocks[from/p.Around%uint64(len(p.blocks))]
	lock.Lock()
	defer lock.Unlock()
	if err := p.holes.make(p, from, to); err != nil {
		return err
	}
	p.there.add(from/pageSize, to/pageSize)
	return unix.Madvise(p.bytes(from, to), unix.MADV_DONTNEED)
}

// ErrFragmented is wrapped where memory isn't given back.
var ErrFragmented = errors.New("the guest's free memory is in too many pieces")

// maxHoles bounds how many mappings a guest can have the worker make, of which a
// process has 65,530.
const maxHoles = 16 << 10

// holes are the pages that aren't watched any more.
type holes struct {
	mu    sync.Mutex
	pages pages // nil: none
	count int   // of pieces
	most  int
}

// make has the kernel see to what is between two offsets, which is zeroes from now
// on as far as it isn't there.
func (h *holes) make(p *Pager, from, to uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pages == nil {
		h.pages = newPages(uint64(len(p.there)) * 64)
	}
	first, last := from/pageSize, to/pageSize
	count := h.count - h.starts(first, last)
	if first == 0 || !h.pages.has(first-1) {
		count++
	}
	if count > h.most && count > h.count {
		return ErrFragmented
	}
	if err := p.fd.Unregister(p.bytes(from, to)); err != nil {
		return err
	}
	h.pages.add(first, last)
	h.count = count
	return nil
}

// starts returns how many pieces begin at one of two pages, or between them.
func (h *holes) starts(from, to uint64) (n int) {
	for page := from; page <= to && page < uint64(len(h.pages))*64; page++ {
		if h.pages.has(page) && (page == 0 || !h.pages.has(page-1)) {
			n++
		}
	}
	return n
}

// any reports whether there is one between two offsets.
func (h *holes) any(from, to uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pages != nil && h.pages.end(from/pageSize, to/pageSize, false) < to/pageSize
}
