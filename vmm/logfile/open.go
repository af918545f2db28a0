package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// open opens the newest part, makes it if there is none, and takes back what a
// crash left of a line.
func (s *sink) open() error {
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	if err := s.take(f); err != nil {
		return errors.Join(err, f.Close())
	}
	s.f = f
	return nil
}

// take has s begin at the end of f, if f is its own to write.
func (s *sink) take(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("log file: %s is no regular file: choose another path", s.path)
	}
	// The lock ends with the descriptor, and so with the process. Whoever comes
	// just when a part begins may get it: then the one before is refused.
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("log file: %s is being written to by somebody else: choose another path, or wait for their end: %w", s.path, err)
	}
	if err != nil {
		return fmt.Errorf("log file: lock %s: %w", s.path, err)
	}
	s.number, s.size, s.empty, s.torn = partNumber(f), info.Size(), false, false
	if s.size == 0 {
		s.number = s.nextNumber()
		return nil
	}
	return s.repair(f)
}

// nextNumber returns the number of a part that begins.
func (s *sink) nextNumber() uint64 {
	f, err := os.Open(older(s.path))
	if err != nil {
		return 1 // there is none before it
	}
	defer f.Close()
	return partNumber(f) + 1
}

// repair cuts off what comes after the last whole line. What can't be one of
// ours, for want of any newline, is put aside with the part.
func (s *sink) repair(f *os.File) error {
	b := make([]byte, min(s.size, int64(maxLine)))
	if _, err := f.ReadAt(b, s.size-int64(len(b))); err != nil && err != io.EOF {
		return fmt.Errorf("log file: %w", err)
	}
	torn := len(b) - bytes.LastIndexByte(b, '\n') - 1
	if torn == len(b) && int64(len(b)) < s.size {
		s.torn = true
		return nil
	}
	if torn == 0 {
		return nil
	}
	s.size -= int64(torn)
	if err := unix.Ftruncate(int(f.Fd()), s.size); err != nil {
		return fmt.Errorf("log file: take back part of a line: %w", err)
	}
	return nil
}
