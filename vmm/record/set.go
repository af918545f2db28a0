package record

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// maxRecorders bounds those of one machine. Each takes a few descriptors.
	maxRecorders = 32
	// connectTime is how long a guest has to take a recorder's connections.
	connectTime = 10 * time.Second
	// drainTime is how long streams have to end once their machine has. What
	// they carried is there already, and only to be read.
	drainTime = 2 * time.Second
)

// Set is the recorders of a machine. Its methods may be called from any goroutine.
// The zero value has none yet.
type Set struct {
	mu        sync.Mutex // the rest; no other lock is taken under it
	recorders map[string]*recorder
	making    map[string]context.CancelFunc // by the names that they will have
	closed    bool
	running   sync.WaitGroup // of goroutines, and of what is in making
}

// Record connects to streams and has what comes go to a log, until they end: then
// the recorder is gone and its name free.
func (s *Set) Record(ctx context.Context, c Config) error {
	if err := c.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	if err := s.reserve(c.Name, cancel); err != nil {
		return err
	}
	defer s.running.Done()
	r, err := connect(ctx, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.making, c.Name)
	if err != nil && s.closed {
		return ErrClosed // it was given up for that
	}
	if err != nil {
		return err
	}
	s.recorders[c.Name] = r
	s.running.Go(func() {
		r.run()
		s.mu.Lock()
		delete(s.recorders, c.Name)
		s.mu.Unlock()
		close(r.done)
	})
	if s.closed {
		r.hangUp()
		return ErrClosed
	}
	return nil
}

// Await waits until there is no recorder of a name: what it had to write is in its
// log. It fails with the error of ctx.
func (s *Set) Await(ctx context.Context, name string) error {
	s.mu.Lock()
	r := s.recorders[name]
	s.mu.Unlock()
	if r == nil {
		return ctx.Err()
	}
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reserve keeps a name, and has Close wait.
func (s *Set) reserve(name string, cancel context.CancelFunc) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.recorders[name] != nil, s.making[name] != nil:
		return fmt.Errorf("%q %w", name, ErrExists)
	case len(s.recorders)+len(s.making) >= maxRecorders:
		return fmt.Errorf("%w: a machine has up to %d: wait for one to end", ErrTooMany, maxRecorders)
	}
	if s.recorders == nil {
		s.recorders, s.making = map[string]*recorder{}, map[string]context.CancelFunc{}
	}
	s.making[name] = cancel
	s.running.Add(1)
	return nil
}

// Refuse has further recorders be refused, and those in making given up.
func (s *Set) Refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, cancel := range s.making {
		cancel()
	}
}

// Close ends every recorder, once what its guest sent is in its log, if the machine
// has let go of the streams. On return nothing of them is left.
func (s *Set) Close() {
	s.Refuse()
	timer := time.AfterFunc(drainTime, s.hangUp)
	defer timer.Stop()
	s.running.Wait()
}

func (s *Set) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.recorders {
		r.hangUp()
	}
}
