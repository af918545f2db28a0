package kvm

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// fd owns a file descriptor until its first close.
type fd struct {
	n     int
	name  string
	close sync.Once
}

func newFD(n int, name string) *fd { return &fd{n: n, name: name} }

// Close releases the descriptor; later calls do nothing.
func (f *fd) Close() error {
	var err error
	f.close.Do(func() {
		if e := unix.Close(f.n); e != nil {
			err = fmt.Errorf("close %s: %w", f.name, e)
		}
	})
	return err
}
