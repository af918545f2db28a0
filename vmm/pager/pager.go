package pager

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
	"github.com/bulkhead-vm/bulkhead/vmm/uffd"
)

const pageSize = memory.PageSize

// Config says how a Pager works. Content is all it needs.
type Config struct {
	// Content is what RAM begins as. It must do as long as the pager isn't closed.
	Content memory.Content
	// Around is how much is read at once where one page is needed: a power of two.
	// 0: 64 KiB, or a huge page.
	Around uint64
	// Huge has the memory be of huge pages, which takes memory.NewPaged to have made
	// it so.
	Huge bool
}

const defaultAround = 64 << 10

// servers is how many faults are served at once: as many vCPUs don't wait for each
// other's.
const servers = 4

// Pager implements memory.Pager.
type Pager struct {
	Config
	regions []region
	fd      *uffd.FD
	serving sync.WaitGroup
	buffers sync.Pool // of *[]byte, of Around bytes

	blocks [64]sync.Mutex // of each Around bytes, whose number modulo 64 it is: nobody reads them twice
	there  pages          // set by who has the block
	wanted pages

	failure failure
	holes   holes
}

// region is a piece of RAM.
type region struct {
	base uint64 // offset of its first byte
	host uintptr
	b    []byte
}

func (r *region) end() uint64 { return r.base + uint64(len(r.b)) }

// Start begins to serve RAM of which nothing is there. It fails with
// os.ErrPermission where this process may not use userfaultfd.
func Start(c Config, all []memory.Region) (*Pager, error) {
	switch {
	case c.Huge:
		c.Around = memory.HugePageSize
	case c.Around == 0:
		c.Around = defaultAround
	}
	p := &Pager{Config: c, holes: holes{most: maxHoles}}
	p.buffers.New = func() any { b := make([]byte, c.Around); return &b }
	size := uint64(0)
	for _, r := range all {
		p.regions = append(p.regions, region{size, r.HostAddress(), r.Bytes})
		size += r.Size
	}
	p.there, p.wanted = newPages(size/pageSize), newPages(size/pageSize)
	var err error
	if p.fd, err = uffd.Open(); err != nil {
		return nil, fmt.Errorf("page guest RAM in: %w, or have the snapshot mapped", err)
	}
	for _, r := range p.regions {
		// A child would find zeroes.
		if err := errors.Join(unix.Madvise(r.b, unix.MADV_DONTFORK), p.fd.Register(r.b)); err != nil {
			return nil, errors.Join(fmt.Errorf("page guest RAM in: %w", err), p.fd.Close())
		}
	}
	for range servers {
		p.serving.Go(p.serve)
	}
	return p, nil
}

// serve answers faults until the end.
func (p *Pager) serve() {
	var buf uffd.Buffer
	for {
		if err := p.fd.Read(&buf, p.answer); err != nil {
			if !errors.Is(err, os.ErrClosed) { // nobody would be answered any more
				p.failure.happen(fmt.Errorf("page guest RAM in: %w", err))
			}
			return
		}
	}
}

// answer has who waits for the page at an address go on.
func (p *Pager) answer(address uintptr) {
	offset, ok := p.offset(address)
	if !ok {
		return // nobody's: it isn't registered
	}
	p.wanted.add(offset/pageSize, offset/pageSize+1)
	if p.there.has(offset / pageSize) {
		p.fd.Wake(p.bytes(offset, offset+pageSize)) // it came in while the fault was on its way
		return
	}
	from := offset &^ (p.Around - 1)
	if err := p.fill(from, from+p.Around, offset); err != nil {
		p.failure.happen(err)
		p.fill(from, from+p.Around, offset) // with zeroes
	}
}

func (p *Pager) offset(address uintptr) (uint64, bool) {
	for i := range p.regions {
		r := &p.regions[i]
		if off := uint64(address - r.host); off < uint64(len(r.b)) {
			return r.base + off&^(pageSize-1), true
		}
	}
	return 0, false
}

// regionOf returns the one that an offset is in.
func (p *Pager) regionOf(offset uint64) *region {
	i := len(p.regions) - 1
	for i > 0 && offset < p.regions[i].base {
		i--
	}
	return &p.regions[i]
}

// bytes returns what is between two offsets of one region, in place.
func (p *Pager) bytes(from, to uint64) []byte {
	r := p.regionOf(from)
	return r.b[from-r.base : to-r.base]
}

// Fetch implements memory.Pager.
func (p *Pager) Fetch(from, to uint64) error {
	p.wanted.add(from/pageSize, to/pageSize)
	err := p.Prefetch(from, to)
	if err != nil {
		p.failure.happen(err)
	}
	return err
}

// Prefetch implements memory.Pager. That it fails ends nothing: maybe nobody will need
// what can't be had.
func (p *Pager) Prefetch(from, to uint64) error {
	for from < to {
		if p.there.hasAll(from/pageSize, to/pageSize) {
			return nil
		}
		end := min(to, from&^(p.Around-1)+p.Around)
		if err := p.fill(from, end, from); err != nil {
			return err
		}
		from = end
	}
	return nil
}

// OnFailure implements memory.Pager.
func (p *Pager) OnFailure(f func(error)) { p.failure.tell(f) }

// Touched implements memory.Pager.
func (p *Pager) Touched(yield func(from, to uint64)) {
	last := p.regions[len(p.regions)-1].end() / pageSize
	for at := uint64(0); at < last; {
		from := p.wanted.end(at, last, false)
		if at = p.wanted.end(from, last, true); from < at {
			yield(from*pageSize, at*pageSize)
		}
	}
}

// Read implements memory.Pager.
func (p *Pager) Read(b []byte, from uint64) error {
	for len(b) > 0 {
		page, end := from/pageSize, (from+uint64(len(b)))/pageSize
		there := p.there.has(page)
		n := (p.there.end(page, end, there) - page) * pageSize
		n = min(n, p.regionOf(from).end()-from)
		if there {
			copy(b[:n], p.bytes(from, from+n))
		} else if err := p.read(b[:n], from); err != nil {
			return err
		}
		b, from = b[n:], from+n
	}
	return nil
}

// read reads what RAM begins as.
func (p *Pager) read(b []byte, from uint64) error {
	if _, err := p.Content.ReadAt(b, int64(from)); err != nil {
		return fmt.Errorf("read %d bytes of guest RAM at %#x of the snapshot's: %w", len(b), from, err)
	}
	return nil
}

// Close implements memory.Pager.
func (p *Pager) Close() error {
	err := p.fd.Close()
	p.serving.Wait()
	return err
}
