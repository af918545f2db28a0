package logfile

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultMaxBytes is how large a part of a log gets unless told otherwise.
const DefaultMaxBytes = 16 << 20

const (
	// maxPending is how many bytes of lines wait for the file.
	maxPending = 64 << 10
	// patience is how long a stream waits for the file to take them. After that
	// its output is lost: the guest that it comes from goes on.
	patience = 5 * time.Second
)

// Config describes a log that is written to.
type Config struct {
	// Path is made, with mode 0600, if there is nothing, and added to if there
	// is. What it holds is renamed to Path.1 when it is full.
	Path     string
	MaxBytes int64 // of Path; 0 means DefaultMaxBytes
	// Warn, if not nil, hears why lines are being lost: once, from the Writer's
	// goroutine.
	Warn func(error)
}

// Writer adds streams of bytes to a log. Lines that it can't add are lost, which
// the log says as soon as it can be added to again. Its methods may be called from
// any goroutine.
type Writer struct {
	warn func(error)
	wait time.Duration // patience, save in tests

	used atomic.Bool   // there was a stream
	work chan struct{} // has one when the goroutine may have something to do
	done chan struct{} // closed when it has ended
	err  error         // why lines are missing at the end; set before done is closed

	mu      sync.Mutex    // the rest; no other lock is taken under it
	pending []byte        // whole lines
	taken   chan struct{} // closed when the goroutine takes them
	stuck   bool          // it didn't for as long as anybody waits
	lost    uint64        // lines, since the goroutine looked last
	latest  time.Time     // of a record: none is older than the one before
	closed  bool
}

// Open opens a log for writing. One that is being written to already is an error.
// The caller closes the Writer.
func Open(c Config) (*Writer, error) {
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.Path == "" || c.MaxBytes < 0 {
		return nil, fmt.Errorf("log file %q of %d bytes: name a path and a size", c.Path, c.MaxBytes)
	}
	s := &sink{path: c.Path, max: c.MaxBytes}
	if err := s.open(); err != nil {
		return nil, err
	}
	w := newWriter(c)
	go w.run(s)
	return w, nil
}

// newWriter returns a Writer whose goroutine is yet to run.
func newWriter(c Config) *Writer {
	if c.Warn == nil {
		c.Warn = func(error) {}
	}
	return &Writer{
		warn: c.Warn, wait: patience,
		work: make(chan struct{}, 1), done: make(chan struct{}), taken: make(chan struct{}),
	}
}

// Stream returns what writes to the log under a label, a word. It writes at once
// what it is given, as a piece of a line if that is what it is, and doesn't fail.
// It waits for the file, but not for ever, and for nothing once the Writer is
// closed.
func (w *Writer) Stream(label string) (io.Writer, error) {
	if err := CheckLabel(label); err != nil {
		return nil, err
	}
	w.used.Store(true)
	return &stream{w, label}, nil
}

// Close adds what is pending, and that this is the end, and closes the file. It
// fails if the last lines are missing.
func (w *Writer) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wake()
	select {
	case <-w.done:
		return w.err
	case <-time.After(w.wait):
		return errors.New("log file: its disk doesn't answer: the last lines are lost")
	}
}

func (w *Writer) wake() {
	select {
	case w.work <- struct{}{}:
	default: // it is awake
	}
}
