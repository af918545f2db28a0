package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mode returns the unix socket's permissions.
func (c ListenConfig) mode() (os.FileMode, error) {
	n, err := strconv.ParseUint(c.UnixMode, 8, 9)
	if err != nil {
		return 0, fmt.Errorf("%q is not a file mode such as \"0660\"", c.UnixMode)
	}
	return os.FileMode(n), nil
}

// listenUnix makes the API's unix socket. One that nobody listens on any more is
// replaced.
func listenUnix(c ListenConfig) (net.Listener, error) {
	l, err := newUnixListener(c.Unix)
	if err != nil {
		return nil, fmt.Errorf("listen.unix: %w", err)
	}
	if err := own(c); err != nil {
		return nil, errors.Join(fmt.Errorf("listen.unix: %w", err), l.Close())
	}
	return l, nil
}

func newUnixListener(path string) (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if listenedOn(path) {
		return nil, fmt.Errorf("somebody listens on %s already: is another bulkheadd running?", path)
	}
	if err := removeSocket(path); err != nil {
		return nil, err
	}
	// Nobody connects before the mode is what it is to be.
	old := unix.Umask(0o177) // the process's: nothing else makes files yet
	defer unix.Umask(old)
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

// removeSocket removes a socket, if there is one, and nothing else that may be there.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s is there already and no socket: choose another path, or remove it", path)
	}
	return os.Remove(path)
}

// staleTime is how long a socket of a daemon that was killed may seem alive: a
// worker that it was just starting has it until it is a program of its own.
const staleTime = 2 * time.Second

// listenedOn reports whether somebody listens on a socket, and goes on to.
func listenedOn(path string) bool {
	for start := time.Now(); time.Since(start) < staleTime; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("unix", path)
		if err != nil {
			return false
		}
		conn.Close()
	}
	return true
}

func own(c ListenConfig) error {
	if c.UnixGroup != "" {
		g, err := user.LookupGroup(c.UnixGroup)
		if err != nil {
			return fmt.Errorf("unix_group: %w", err)
		}
		gid, err := strconv.Atoi(g.Gid)
		if err != nil {
			return fmt.Errorf("unix_group: %w", err)
		}
		if err := os.Chown(c.Unix, -1, gid); err != nil {
			return err
		}
	}
	mode, err := c.mode()
	if err != nil {
		return err
	}
	return os.Chmod(c.Unix, mode)
}

// listenMetrics makes the metrics' socket.
func listenMetrics(s string) (net.Listener, error) {
	network, address, err := metricsAddress(s)
	switch {
	case err != nil:
		return nil, err
	case network == "unix":
		return newUnixListener(address)
	}
	return net.Listen(network, address)
}

// metricsAddress reads metrics.listen: "unix:PATH", or an address of the loopback.
func metricsAddress(s string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return "", "", fmt.Errorf("%q is not an absolute path", path)
		}
		return "unix", path, nil
	}
	host, _, err := net.SplitHostPort(s)
	if err != nil {
		return "", "", err
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return "", "", fmt.Errorf("%q is not this host's own: metrics are served to it only, use 127.0.0.1 or unix:PATH", host)
	}
	return "tcp", s, nil
}
