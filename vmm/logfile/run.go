package logfile

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// run adds what is pending to the log until the Writer is closed. It ends, but
// for a disk that doesn't answer: nothing can be done about that.
func (w *Writer) run(s *sink) {
	defer close(w.done)
	defer s.close()
	missing := missing{warn: w.warn}
	var spare []byte
	for more := true; more; {
		var batch []byte
		var lost uint64
		batch, lost, more = w.take(spare)
		if lost > 0 {
			missing.add(lost, errSlow)
		}
		missing.write(s, batch)
		spare = batch[:0]
	}
	if w.err = missing.error(); w.err == nil && w.used.Load() {
		w.err = s.end()
	}
}

// take waits for lines and takes them, and leaves spare for those to come. It
// reports false when no more will come.
func (w *Writer) take(spare []byte) (batch []byte, lost uint64, more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.pending) == 0 && w.lost == 0 && !w.closed {
		w.mu.Unlock()
		<-w.work
		w.mu.Lock()
	}
	batch, lost = w.pending, w.lost
	w.pending, w.lost, w.stuck = spare, 0, false
	close(w.taken)
	w.taken = make(chan struct{})
	return batch, lost, !w.closed
}

// errSlow is why lines are lost while others wait for the file.
var errSlow = fmt.Errorf("the disk didn't take them for %v", patience)

// missing counts lines that a log lacks where the next ones come.
type missing struct {
	warn   func(error)
	warned bool
	n      uint64
	why    error // the last time
}

func (m *missing) add(n uint64, why error) {
	m.n, m.why = m.n+n, why
	if !m.warned {
		m.warned = true
		m.warn(why)
	}
}

// write adds lines to s, after a record of those that are missing before them.
func (m *missing) write(s *sink, batch []byte) {
	if m.n > 0 {
		if _, err := s.write(m.note(batch)); err != nil {
			m.add(lines(batch), err)
			return
		}
		m.n = 0
	}
	if rest, err := s.write(batch); err != nil {
		m.add(lines(rest), err)
	}
}

// note is the record of what is missing before batch, as old as that.
func (m *missing) note(batch []byte) []byte {
	t := time.Now()
	if len(batch) > 0 {
		t.UnmarshalText(batch[:len(timeLayout)]) // can't fail: it is a record's
	}
	why := strings.ReplaceAll(m.why.Error(), "\n", " ") // as paths may have
	return appendRecord(nil, t, Own, fmt.Appendf(nil, "%d lines are lost: %s\n", m.n, why))
}

// error says what is missing at the end.
func (m *missing) error() error {
	if m.n == 0 {
		return nil
	}
	return fmt.Errorf("the last %d lines are lost: %w", m.n, m.why)
}

// lines counts whole lines.
func lines(b []byte) uint64 { return uint64(bytes.Count(b, []byte("\n"))) }
