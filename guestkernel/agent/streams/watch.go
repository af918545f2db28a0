package streams

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// gone tells whether the host has closed the stream altogether, and not only its
// own direction, or has lost it by a restore. It can't tell after CloseWrite, which
// looks the same.
func (s *Stream) gone() bool {
	raw, err := s.SyscallConn()
	if err != nil {
		return true
	}
	gone := true
	_ = raw.Control(func(fd uintptr) { gone = refuses(int(fd)) })
	return gone
}

// WaitGone waits until the host has closed the stream altogether, and returns true,
// or until the stream is closed here or its deadline for reading has passed. Nobody
// may read meanwhile.
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

// Watch waits for a link's host to go away while others read and write. It has a
// descriptor of its own for that.
type Watch struct {
	link *Link
	stop chan struct{} // closed by Close

	mu   sync.Mutex
	conn *Stream
	file *os.File // of conn; closed by Close
}

// Watch returns a watch of the link, which the caller closes.
func (l *Link) Watch() (*Watch, error) {
	w := &Watch{link: l, stop: make(chan struct{})}
	if err := w.look(); err != nil {
		return nil, fmt.Errorf("watch a connection: %w", err)
	}
	return w, nil
}

// Wait waits until the host has closed the link altogether, and returns true, or
// until Close. It has one caller, and nobody calls CloseWrite meanwhile.
func (w *Watch) Wait() bool {
	for {
		w.mu.Lock()
		conn, file := w.conn, w.file
		w.mu.Unlock()
		if !waitGone(file) {
			return false
		}
		next := w.link.successor(conn, w.stop)
		if next == nil || w.look() != nil {
			return !w.closed()
		}
	}
}

// look turns the watch to the connection that the link has now.
func (w *Watch) look() error {
	conn, _ := w.link.current()
	file, err := duplicate(conn)
	if now, _ := w.link.current(); err != nil && now != conn {
		return w.look() // that one was closed for another
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed() {
		return file.Close()
	}
	if w.file != nil {
		w.file.Close()
	}
	w.conn, w.file = conn, file
	return nil
}

func duplicate(c syscall.Conn) (*os.File, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var errno error
	if err := raw.Control(func(theirs uintptr) {
		fd, errno = unix.FcntlInt(theirs, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return nil, err
	}
	if errno != nil {
		return nil, errno
	}
	return os.NewFile(uintptr(fd), "watched connection"), nil
}

func (w *Watch) closed() bool {
	select {
	case <-w.stop:
		return true
	default:
		return false
	}
}

// Close ends Wait. It leaves the link as it is. It is called once.
func (w *Watch) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.stop)
	return w.file.Close()
}
