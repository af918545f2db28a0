package worker

import (
	"bytes"
	"io"
	"sync"
	"time"
)

const (
	// backlogSize is how much waits for a reader that is slower than the
	// guest; more is dropped.
	backlogSize = 1 << 20
	// holdSize is how much of a line that isn't finished is waited for.
	holdSize = 4 << 10

	dropNotice = "\r\n[console output dropped: its reader is too slow]\r\n"
)

// feed passes on what a guest writes to somebody who may be slow.
type feed struct {
	out   io.Writer
	pause time.Duration // how long a line that isn't finished is waited for
	work  chan struct{} // has one when there may be something to do
	done  chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex // the rest; no other lock is taken under it
	backlog []byte
	dropped bool
	closed  bool
}

// newFeed starts one. The caller closes it.
func newFeed(out io.Writer, pause time.Duration) *feed {
	f := &feed{out: out, pause: pause, work: make(chan struct{}, 1), done: make(chan struct{})}
	go f.run()
	return f
}

// put leaves p to be passed on, or drops it.
func (f *feed) put(p []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	first := len(f.backlog) == 0
	switch {
	case len(f.backlog)+len(p) <= backlogSize:
		f.backlog = append(f.backlog, p...)
		f.dropped = false
	case !f.dropped:
		f.backlog = append(f.backlog, dropNotice...)
		f.dropped = true
	}
	if first || f.whole() { // a guest writes byte by byte
		f.wake()
	}
}

// whole reports whether there is nothing to wait for. The caller holds f.mu.
func (f *feed) whole() bool {
	return f.closed || bytes.HasSuffix(f.backlog, []byte("\n")) || len(f.backlog) >= holdSize
}

func (f *feed) wake() {
	select {
	case f.work <- struct{}{}:
	default: // it is awake
	}
}

// close passes on what is left and ends.
func (f *feed) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.wake()
	<-f.done
}

func (f *feed) run() {
	defer close(f.done)
	var chunk []byte
	for {
		if chunk = f.take(chunk[:0]); len(chunk) == 0 {
			return
		}
		if _, err := f.out.Write(chunk); err != nil { // the reader has gone
			f.mu.Lock()
			f.closed, f.backlog = true, nil
			f.mu.Unlock()
			return
		}
	}
}

// take waits for something to pass on and leaves spare for what comes after it. It
// returns nothing when nothing will come.
func (f *feed) take(spare []byte) (chunk []byte) {
	var late <-chan time.Time
	f.mu.Lock()
	defer f.mu.Unlock()
	for overdue := false; !f.whole() && !overdue; {
		if len(f.backlog) > 0 && late == nil {
			if f.pause == 0 {
				break
			}
			late = time.After(f.pause)
		}
		f.mu.Unlock()
		select {
		case <-f.work:
		case <-late:
			overdue = true
		}
		f.mu.Lock()
	}
	chunk, f.backlog = f.backlog, spare
	return chunk
}
