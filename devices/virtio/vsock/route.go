package vsock

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Route ties guest ports to a unix socket's path, both ways: a host process
// that connects to Path asks for a port ("CONNECT PORT\n") and is answered
// ("OK PORT\n"); a guest process that connects to port P of the host reaches
// whoever listens on Path_P.
type Route struct {
	Path string
	// First and Last bound the ports; both 0 means all that no other route
	// claims.
	First, Last uint32
}

func (r Route) isDefault() bool { return r.First == 0 && r.Last == 0 }

func (r Route) claims(port uint32) bool {
	return !r.isDefault() && port >= r.First && port <= r.Last
}

// queueLength is how many host processes may wait to be accepted.
const queueLength = 1024

// listener is the listening socket of a route.
type listener struct {
	Route
	fd int
}

func listen(r Route) (l *listener, err error) {
	if r.Path == "" {
		return nil, errors.New("vsock: empty socket path")
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("vsock: %w", err)
	}
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: r.Path})
	if errors.Is(err, unix.EADDRINUSE) && abandoned(r.Path) && os.Remove(r.Path) == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: r.Path})
	}
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		err = fmt.Errorf("vsock: %s exists: choose another path, or remove it if nobody uses it", r.Path)
	case errors.Is(err, unix.EINVAL):
		err = fmt.Errorf("vsock: %s is longer than the 107 bytes a socket path may have", r.Path)
	case err != nil:
		err = fmt.Errorf("vsock: bind %s: %w", r.Path, err)
	}
	if err == nil {
		if err = unix.Listen(fd, queueLength); err == nil {
			return &listener{r, fd}, nil
		}
		err = errors.Join(fmt.Errorf("vsock: listen on %s: %w", r.Path, err), os.Remove(r.Path))
	}
	return nil, errors.Join(err, unix.Close(fd))
}

// abandoned reports whether path is a socket that nobody listens on any more, as
// a process leaves it that was killed.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) == unix.ECONNREFUSED
}

// close stops listening and removes the socket.
func (l *listener) close() error {
	return errors.Join(os.Remove(l.Path), unix.Close(l.fd))
}
