package record

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// retryTime is how long clients wait for the host to have descriptors again.
const retryTime = 100 * time.Millisecond

// input takes input for a stream from one client after the other, at a unix socket
// of its own.
type input struct {
	listener *net.UnixListener

	mu     sync.Mutex // the rest; no other lock is taken under it
	client net.Conn   // nil: none
	closed bool
}

// listen makes the socket. One that a process left behind that is gone is replaced.
func listen(path string) (*input, error) {
	address := &net.UnixAddr{Name: path, Net: "unix"}
	l, err := net.ListenUnix("unix", address)
	if errors.Is(err, unix.EADDRINUSE) && abandoned(path) && os.Remove(path) == nil {
		l, err = net.ListenUnix("unix", address)
	}
	if err != nil {
		return nil, fmt.Errorf("input socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("input socket: %w", err), l.Close())
	}
	return &input{listener: l}, nil
}

// abandoned reports whether path is a socket that nobody listens on any more.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, unix.ECONNREFUSED)
}

// serve passes input on to the guest until there is no more, or until close.
func (i *input) serve(to *net.UnixConn) {
	defer i.close()
	for {
		client, err := i.listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(retryTime)
			continue
		}
		if !i.take(client) {
			return
		}
		err = forward(to, client)
		client.Close()
		if errors.Is(err, errEnd) {
			to.CloseWrite() // fails only if the guest has hung up
			return
		}
	}
}

// take makes client the one that close hangs up on. It reports false if that was
// called before.
func (i *input) take(client net.Conn) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		client.Close()
		return false
	}
	i.client = client
	return true
}

// close hangs up on the client and removes the socket. It may come twice.
func (i *input) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	i.listener.Close() // and the path with it
	if i.client != nil {
		i.client.Close()
	}
}
