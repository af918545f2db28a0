package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// Sockets returns the listening sockets that systemd passed in, by the names that
// their units give them: FileDescriptorName=, or else the unit's. They are the
// caller's to close; their files stay systemd's. It is called before any child is
// started, which would be passed them too.
func Sockets() (map[string][]net.Listener, error) {
	all := map[string][]net.Listener{}
	var failed error
	for _, f := range activation.Files(true) {
		l, err := listener(f)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		all[f.Name()] = append(all[f.Name()], l)
	}
	if failed == nil {
		return all, nil
	}
	for _, listeners := range all {
		for _, l := range listeners {
			l.Close()
		}
	}
	return nil, failed
}

// listener is f's, which is closed.
func listener(f *os.File) (net.Listener, error) {
	defer f.Close()
	l, err := net.FileListener(f)
	if err == nil && !listens(f) { // which the call before doesn't look at
		err = errors.Join(errors.New("nobody can connect to it"), l.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("socket %s from systemd: %w (its unit needs ListenStream= and Accept=no)", f.Name(), err)
	}
	return l, nil
}

// listens reports whether a socket takes connections.
func listens(f *os.File) bool {
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	listening := 0
	conn.Control(func(fd uintptr) { listening, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN) })
	return listening != 0
}
