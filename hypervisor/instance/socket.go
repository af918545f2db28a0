package instance

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// RemoveAbandoned removes the socket that a worker has left at path by being
// killed. Whatever else is there is somebody's: a file, or a socket that is
// listened on.
func RemoveAbandoned(path string) error {
	gone, err := abandoned(path)
	if err == nil && gone {
		err = os.Remove(path)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove what is left of a worker's socket: %w", err)
	}
	return nil
}

// abandoned reports whether path is a socket that nobody listens on any more, by the
// rule that the worker has for it (devices/virtio/vsock/route.go).
func abandoned(path string) (bool, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return false, err
	}
	if info.Mode().Type() != os.ModeSocket {
		return false, nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	return errors.Is(unix.Connect(fd, &unix.SockaddrUnix{Name: path}), unix.ECONNREFUSED), nil
}
