package streams

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Gone tells whether the host has closed the stream altogether, and not only its
// own direction. It can't tell after CloseWrite, which looks the same.
func (s *Stream) Gone() bool {
	raw, err := s.SyscallConn()
	if err != nil {
		return true
	}
	gone := true
	_ = raw.Control(func(fd uintptr) { gone = refuses(int(fd)) })
	return gone
}

// WaitGone waits until Gone, and returns true, or until the stream is closed
// here or its deadline for reading has passed. Nobody may read meanwhile.
func (s *Stream) WaitGone() bool { return waitGone(s) }

func waitGone(c syscall.Conn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	// The host's going away makes the socket readable.
	_ = raw.Read(func(fd uintptr) bool {
		gone = refuses(int(fd))
		return gone
	})
	return gone
}

// refuses asks whether the other side takes anything, by sending nothing.
func refuses(socket int) bool {
	_, err := unix.SendmsgN(socket, nil, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	return err != nil && err != unix.EAGAIN
}

// Watch waits for a stream's host to go away while others read and write. It
// has a descriptor of its own for that.
type Watch struct {
	file *os.File
}

// Watch returns a watch of the stream, which the caller closes.
func (s *Stream) Watch() (*Watch, error) {
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("watch a connection: %w", err)
	}
	var fd int
	var errno error
	if err := raw.Control(func(theirs uintptr) {
		fd, errno = unix.FcntlInt(theirs, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return nil, fmt.Errorf("watch a connection: %w", err)
	}
	if errno != nil {
		return nil, fmt.Errorf("watch a connection: %w", errno)
	}
	return &Watch{os.NewFile(uintptr(fd), "watched connection")}, nil
}

// Wait waits until the host has closed the stream altogether, and returns true,
// or until Close. It has one caller, and nobody calls CloseWrite meanwhile.
func (w *Watch) Wait() bool { return waitGone(w.file) }

// Close ends Wait. It leaves the stream as it is.
func (w *Watch) Close() error { return w.file.Close() }
