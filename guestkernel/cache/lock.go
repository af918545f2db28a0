package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lock takes the lock of a part. It's a flock, so it ends with its process.
func (c *Cache) lock(part string) (unlock func(), err error) {
	dir := filepath.Join(c.dir, part)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, explain(err, c.dir)
	}
	path := filepath.Join(dir, ".lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, explain(err, c.dir)
	}
	if err := c.flock(f, part); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

func (c *Cache) flock(f *os.File, part string) error {
	err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return err
	}
	c.notify(fmt.Sprintf("another build of the %s is running; waiting for it (%s)", part, f.Name()))
	return flock(f, syscall.LOCK_EX)
}

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
