package streams

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// unreadBytes returns how much there is to read.
func unreadBytes(t *testing.T, c syscall.RawConn) (n int) {
	t.Helper()
	var errno error
	err := c.Control(func(fd uintptr) { n, errno = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	if err != nil || errno != nil {
		t.Fatal(err, errno)
	}
	return n
}
