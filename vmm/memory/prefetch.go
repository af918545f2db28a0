package memory

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// ahead is what is being prefetched. The zero value is nothing.
type ahead struct {
	once    sync.Once // begins, or ends before it began
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// end stops it and waits until nobody touches the memory for it any more.
func (a *ahead) end() {
	a.once.Do(func() {})
	if a.cancel != nil {
		a.cancel()
	}
	a.running.Wait()
}

// Prefetch begins to read the content of pages that will be needed, in the order
// given, until all are on their way or the memory is closed, and tells done, if not
// nil, how many bytes it got to. It is called once, and isn't for memory that began as
// zeroes.
func (m *Memory) Prefetch(pieces []Run, done func(bytes uint64)) {
	m.ahead.once.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		m.ahead.cancel = cancel
		m.ahead.running.Go(func() {
			bytes := m.prefetch(ctx, pieces)
			if done != nil {
				done(bytes)
			}
		})
	})
}

// prefetchStep bounds what is asked for at once: Close waits for that.
const prefetchStep = 256 << 10

func (m *Memory) prefetch(ctx context.Context, all []Run) (bytes uint64) {
	read := m.readAhead
	if m.pager != nil {
		read = m.pager.Prefetch
	}
	for _, run := range all {
		for from := run.From; from < run.To; from += prefetchStep {
			to := min(run.To, from+prefetchStep)
			if ctx.Err() != nil || read(from, to) != nil { // what isn't there will be asked for
				return bytes
			}
			bytes += to - from
		}
	}
	return bytes
}

// readAhead has the host begin to read what it hasn't in its cache of a file. Its
// pages aren't mapped: that takes as long here as it does when they are touched.
func (m *Memory) readAhead(from, to uint64) error {
	return m.pieces(Run{from, to}, func(_ uint64, b []byte) error {
		var there [prefetchStep / PageSize]byte
		if mincore(b, there[:]) == 0 && !slices.Contains(there[:len(b)/PageSize], 0) {
			return nil
		}
		return unix.Madvise(b, unix.MADV_WILLNEED)
	})
}
