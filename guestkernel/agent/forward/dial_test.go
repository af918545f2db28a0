package forward

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/socket"
)

// TestToItself has a socket connect to the port that it has.
func TestToItself(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	to, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	c, err := socket.Connect(t.Context(), fd, to, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !toItself(c, to) {
		t.Error("the socket isn't connected to itself")
	}
}
