package logfile

import (
	"context"
	"io"
	"time"
)

// Options say what of a log is read. The zero value is all there is now.
type Options struct {
	// Since leaves out what was written before.
	Since time.Time
	// Tail leaves out what comes before the last so many lines of those there
	// are at first, streams taken together and without the log's own. 0 leaves
	// out nothing, a negative number all.
	Tail int
	// Follow has Next wait for more at the end, until its context or Done ends.
	Follow bool
	// Done is closed once nothing more will be written: what there is then is
	// the end. nil: nobody says so.
	Done <-chan struct{}
	// Watches bound what followers take of the host.
	Watches *Watches
}

// Reader reads a log that may be written to and rotated at the same time. It
// returns each record once, in order. If it fell behind so far that some are gone
// the next record says so. It belongs to one goroutine.
type Reader struct {
	path  string
	o     Options
	buf   []byte
	label string // of the last record

	part    *part // nil: nothing has been written yet
	rotated bool  // the part isn't the newest any more: it won't grow
	gap     bool  // before the next record
	last    bool  // Done was closed before the part was looked at
	watch   *watch
}

// NewReader begins to read a log, of which nothing needs to be there yet. The
// caller closes it.
func NewReader(path string, o Options) (*Reader, error) {
	r := &Reader{path: path, o: o, buf: make([]byte, bufferSize)}
	if o.Follow {
		r.watch = newWatch(o.Watches)
	}
	if err := r.begin(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Close lets go of the log.
func (r *Reader) Close() {
	r.part.close()
	r.part = nil
	r.watch.close()
}

// Next returns the next record, whose data is good until the next call. At the end
// it returns io.EOF, or waits if it is to follow.
func (r *Reader) Next(ctx context.Context) (Record, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Record{}, err
		}
		line, err := r.line()
		if err == nil {
			if record, ok := r.record(line); ok {
				return record, nil
			}
			continue
		}
		if err == io.EOF {
			err = r.more(ctx)
		}
		if err != nil {
			return Record{}, err
		}
	}
}

func (r *Reader) line() ([]byte, error) {
	if r.part == nil {
		return nil, io.EOF
	}
	return r.part.line()
}

// record takes a line for a record, and reports false if it is none that is to be
// returned.
func (r *Reader) record(line []byte) (Record, bool) {
	record, ok := parse(line, r.label)
	if !ok {
		return Record{}, false
	}
	r.label = record.Label
	if _, head := headNumber(&record); head || record.Time.Before(r.o.Since) {
		return Record{}, false
	}
	record.Gap, r.gap = r.gap, false
	return record, true
}

// more returns nil once there may be another line, or io.EOF if there won't be.
func (r *Reader) more(ctx context.Context) error {
	found, err := r.advance()
	if err != nil || found {
		return err
	}
	if !r.o.Follow || r.last {
		return io.EOF
	}
	timer := time.NewTimer(r.watch.patience(r.part != nil && !r.rotated))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.o.Done:
		r.last = true
	case <-r.watch.changed:
	case <-timer.C:
	}
	return nil
}
