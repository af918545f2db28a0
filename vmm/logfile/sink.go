package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// sink is where a Writer's lines go: the newest part of a log, and the next one
// when that is full. Its Writer's goroutine owns it.
type sink struct {
	path string
	max  int64 // bytes of a part

	f      *os.File // nil: it couldn't be opened yet
	number uint64   // of the part, 0 if it has none
	size   int64
	empty  bool // no record but the head is in it
	torn   bool // it ends in a part of a line that can't be taken back
}

// older is the path of the part before the newest.
func older(path string) string { return path + ".1" }

// write adds whole lines. If it fails, it returns those that it didn't add.
func (s *sink) write(lines []byte) (rest []byte, err error) {
	for len(lines) > 0 {
		if err := s.ready(); err != nil {
			return lines, err
		}
		room := max(0, min(s.max-endSize-s.size, int64(len(lines))))
		n := bytes.LastIndexByte(lines[:room], '\n') + 1
		if n == 0 && !s.empty {
			if err := s.rotate(); err != nil {
				return lines, err
			}
			continue
		}
		if n == 0 { // longer than a part may be
			n = bytes.IndexByte(lines, '\n') + 1
		}
		added, err := s.add(lines[:n])
		lines = lines[added:]
		s.empty = s.empty && added == 0
		if err != nil {
			return lines, err
		}
	}
	return nil, nil
}

// end adds the record that no more will come from here, for which there is room.
func (s *sink) end() error {
	if err := s.ready(); err != nil {
		return err
	}
	_, err := s.add(appendRecord(nil, time.Now(), Own, []byte(endText)))
	return err
}

// ready sees to it that there is a part to be added to, with its head.
func (s *sink) ready() error {
	if s.f == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	if s.torn {
		if err := s.rotate(); err != nil {
			return err
		}
		if err := s.open(); err != nil {
			return err
		}
	}
	if s.size > 0 {
		return nil
	}
	head := appendHead(nil, time.Now(), s.number)
	if _, err := s.add(head); err != nil {
		return err
	}
	s.empty = true
	return nil
}

// rotate puts the part aside. The next one is opened when it is needed.
func (s *sink) rotate() error {
	// Another log's owner may have put the part away: then there is nothing to
	// rename, and what it did is as good.
	if err := os.Rename(s.path, older(s.path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("log file: begin another: %w", err)
	}
	s.close()
	return nil
}

// add writes lines to the part and returns how many bytes of whole lines are in
// it then. A part of a line is taken back: readers have seen the others, perhaps.
func (s *sink) add(lines []byte) (int, error) {
	n, err := s.f.Write(lines)
	s.size += int64(n)
	if err == nil {
		return n, nil
	}
	err = fmt.Errorf("log file: %w", err)
	whole := bytes.LastIndexByte(lines[:n], '\n') + 1
	if whole == n {
		return n, err
	}
	s.size -= int64(n - whole)
	if e := s.takeBack(n - whole); e != nil {
		s.torn = true
		err = fmt.Errorf("%w, and %w", err, e)
	}
	return whole, err
}

// takeBack cuts the last n bytes off. Where they are the file itself tells:
// others may have cut it shorter.
func (s *sink) takeBack(n int) error {
	var st unix.Stat_t
	fd := int(s.f.Fd())
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	if err := unix.Ftruncate(fd, max(0, st.Size-int64(n))); err != nil {
		return fmt.Errorf("log file: take back part of a line: %w", err)
	}
	return nil
}

// close lets go of the part. Nothing is lost by a failure: there is no buffer.
func (s *sink) close() {
	if s.f != nil {
		s.f.Close()
		s.f = nil
	}
}
