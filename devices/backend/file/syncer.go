package file

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// syncer has one thread at a time sync, for all that wait.
//
// The kernel says only once that it could not write something, and drops it:
// whoever asks next, or at the same time, is told that all is well. So the
// first failure is everybody's, for good.
type syncer struct {
	begun atomic.Uint64 // how many syncs

	mu  sync.Mutex // held while one runs; no other lock is taken under it
	err error      // of the first that failed
}

// do returns when a sync is over that began after do was called.
func (s *syncer) do(sync func() error) error {
	before := s.begun.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.begun.Load() > before {
		return s.err // by who held the lock meanwhile
	}
	s.begun.Add(1)
	err := sync()
	for errors.Is(err, unix.EINTR) {
		err = sync()
	}
	if err != nil {
		s.err = fmt.Errorf("sync: what was written before may be lost: %w", err)
	}
	return s.err
}
