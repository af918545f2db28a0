package workertest

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"
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
	splice(c, guest.(*net.UnixConn))
}

// splice carries bytes and ends of file both ways. What breaks on one side breaks
// on the other.
func splice(a, b *net.UnixConn) {
	done := make(chan bool, 2)
	for _, pair := range [][2]*net.UnixConn{{a, b}, {b, a}} {
		go func() {
			_, err := io.Copy(pair[1], pair[0])
			pair[1].CloseWrite()
			done <- err == nil
		}()
	}
	if <-done {
		<-done
	}
}

func (w *worker) guestDir() string { return filepath.Join(w.dir, "guest") }
