package workertest

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// serveDoor is the host's side of vsock: who sends "CONNECT PORT\n" is connected to
// that port of the guest's, which is a socket in its directory.
func (w *worker) serveDoor(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go w.greet(c.(*net.UnixConn))
	}
}

// portSocket is the guest's socket for a port.
func portSocket(dir string, port int) string { return filepath.Join(dir, fmt.Sprintf("port%d", port)) }

// comeUp is how long who connects waits for a guest that isn't up.
const comeUp = 5 * time.Second

func (w *worker) greet(c *net.UnixConn) {
	defer c.Close()
	var line []byte
	for b := make([]byte, 1); len(line) < 32; line = append(line, b[0]) {
		if _, err := c.Read(b); err != nil {
			return
		}
		if b[0] == '\n' {
			break
		}
	}
	var port int
	if _, err := fmt.Sscanf(string(line), "CONNECT %d", &port); err != nil {
		return
	}
	dir := w.guestDir()
	guest, err := net.Dial("unix", portSocket(dir, port))
	for start := time.Now(); err != nil && time.Since(start) < comeUp; guest, err = net.Dial("unix", portSocket(dir, port)) {
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil {
		return
	}
	defer guest.Close()
	if _, err := io.WriteString(c, "OK 1073741824\n"); err != nil {
		return
	}
	if w.cuts() {
		return
	}
	splice(c, guest.(*net.UnixConn))
}

// cuts reports whether a connection is to be cut off, once.
func (w *worker) cuts() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	cut := w.cut
	w.cut = false
	return cut
}

// splice carries bytes and ends of file both ways, until either side has hung up.
func splice(a, b *net.UnixConn) {
	done := make(chan struct{}, 2)
	for _, pair := range [][2]*net.UnixConn{{a, b}, {b, a}} {
		go func() {
			io.Copy(pair[1], pair[0])
			pair[1].CloseWrite()
			waitHangUp(pair[0])
			done <- struct{}{}
		}()
	}
	<-done
}

// waitHangUp waits until c is closed altogether, not just for one direction, or
// both of its directions have ended.
func waitHangUp(c *net.UnixConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	raw.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd)}}
		n, err := unix.Poll(fds, 0)
		return err != nil && err != unix.EINTR || n > 0 && fds[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	})
}

func (w *worker) guestDir() string { return filepath.Join(w.dir, "guest") }
