package memory

import "errors"

// Pager brings in what RAM begins as, when somebody needs it. Offsets are of whole
// pages of RAM, one region after the other. Its methods may be called from any
// goroutine, Close after all others.
type Pager interface {
	// Fetch returns once all is there, and stays: who touches it needs nobody.
	Fetch(from, to uint64) error
	// Prefetch is Fetch of what nobody has asked for: if it fails, that ends nothing.
	Prefetch(from, to uint64) error
	// Release gives pages back. They are there, and zeroes.
	Release(from, to uint64) error
	// Read reads, and brings nothing in.
	Read(p []byte, from uint64) error
	// Touched calls yield for each run of pages that somebody asked for.
	Touched(yield func(from, to uint64))
	// OnFailure has f called once if what is needed can't be brought in, now if that
	// was so before.
	OnFailure(f func(error))
	// Close ends it. Nobody may touch the memory any more.
	Close() error
}

// NewPaged returns RAM of a size in the x86 layout, with pages of 2 MiB if they are
// to be huge, of which nothing is there. start begins with bringing it in; the pager
// is the memory's then, which closes it.
func NewPaged(size uint64, huge bool, start func([]Region) (Pager, error)) (*Memory, error) {
	m, err := reserve(size, huge)
	if err != nil {
		return nil, err
	}
	m.backed = true
	if m.pager, err = start(m.regions); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// OnFailure has f called, from any goroutine, if what the memory began as can't be
// brought in any more: then the machine is to end, which finds zeroes in its place.
func (m *Memory) OnFailure(f func(error)) {
	if m.pager != nil {
		m.pager.OnFailure(f)
	}
}

// fetch sees to it that n bytes at an offset are there.
func (m *Memory) fetch(offset, n uint64) error {
	if m.pager == nil || n == 0 {
		return nil
	}
	return m.pager.Fetch(offset&^(PageSize-1), (offset+n+PageSize-1)&^(PageSize-1))
}

// releasePaged is Release of whole pages.
func (m *Memory) releasePaged(b []byte) error {
	base, at := uint64(0), Region{Bytes: b}.HostAddress()
	for _, r := range m.regions {
		if off := uint64(at - r.HostAddress()); off < r.Size {
			return m.pager.Release(base+off, base+off+uint64(len(b)))
		}
		base += r.Size
	}
	return nil
}

// viewSize is how much View reads at once.
const viewSize = 1 << 20

// View calls yield with the content of r between two offsets of it, which are whole
// pages, piece by piece and in order, and has the host commit nothing for that. A
// piece is valid until yield returns. It stops when yield fails.
func (m *Memory) View(r Region, from, to uint64, yield func(from uint64, b []byte) error) error {
	if m.pager == nil {
		return yield(from, r.Bytes[from:to])
	}
	base := uint64(0)
	for _, before := range m.regions {
		if before.Start < r.Start {
			base += before.Size
		}
	}
	buf := make([]byte, min(to-from, viewSize))
	for from < to {
		b := buf[:min(to-from, viewSize)]
		if err := m.pager.Read(b, base+from); err != nil {
			return err
		}
		if err := yield(from, b); err != nil {
			return err
		}
		from += uint64(len(b))
	}
	return nil
}
