package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// bufferSize is how much of a part a Reader has in memory: several lines of any
// length that there may be.
const bufferSize = 64 << 10

// part is a file of a log that is being read. Whatever it is called meanwhile, it
// is the same file.
type part struct {
	f    *os.File
	info os.FileInfo

	buf  []byte // of the file from off on, of which
	next int    // is where the next line begins
	end  int    // and here it ends
	off  int64
	long bool // inside of a line that is longer than any of ours
}

// openPart opens the part at path; nil if there is none. Who writes the log may
// have put anything there: a pipe isn't waited for, and a link not followed.
func openPart(path string) (*part, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("no regular file")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read log %s: %w", path, err), f.Close())
	}
	return &part{f: f, info: info}, nil
}

// close lets go of the part; nil has nothing to let go of.
func (p *part) close() {
	if p != nil {
		p.f.Close() // it was only read
	}
}

// is reports whether both are the same file.
func (p *part) is(other *part) bool {
	return p != nil && other != nil && os.SameFile(p.info, other.info)
}

// seek has the next line be the one at off.
func (p *part) seek(off int64) { p.off, p.next, p.end, p.long = off, 0, 0, false }

// line returns the next line with its newline, good until the next call, or
// io.EOF if there is none, or not all of it yet. A line always comes from one
// read: the beginning of one may be taken back between two.
func (p *part) line() ([]byte, error) {
	for {
		if i := bytes.IndexByte(p.buf[p.next:p.end], '\n'); i >= 0 {
			line := p.buf[p.next : p.next+i+1]
			p.next += i + 1
			if !p.long {
				return line, nil
			}
			p.long = false
			continue
		}
		if p.next == 0 && p.end == len(p.buf) {
			p.next, p.long = p.end, true
		}
		if err := p.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads from the next line on. It fails with io.EOF if not one ends there.
func (p *part) fill() error {
	p.seekNext()
	n, err := p.read(p.buf, p.off)
	if err != nil {
		return err
	}
	if n < len(p.buf) && bytes.IndexByte(p.buf[:n], '\n') < 0 {
		return io.EOF
	}
	p.end = n
	return nil
}

// seekNext leaves the lines behind that were returned.
func (p *part) seekNext() { p.off, p.next, p.end = p.off+int64(p.next), 0, 0 }

// read makes one system call.
func (p *part) read(b []byte, off int64) (int, error) {
	for {
		n, err := unix.Pread(int(p.f.Fd()), b, off)
		if err != unix.EINTR {
			if err != nil {
				return 0, fmt.Errorf("read log: %w", err)
			}
			return n, nil
		}
	}
}

// size returns how long the file is now.
func (p *part) size() (int64, error) {
	info, err := p.f.Stat()
	if err != nil {
		return 0, fmt.Errorf("read log: %w", err)
	}
	return info.Size(), nil
}
