package cache

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrNoSpace is wrapped by errors that come from a full disk.
var ErrNoSpace = errors.New("no space left")

// lowWater is how much free space still counts as a full disk after a failed
// build: a tool that ran into ENOSPC has often deleted its half-written output.
const lowWater = 16 << 20

// Need returns an error that wraps ErrNoSpace and names the directory when
// fewer than n bytes are free in the cache.
func (c *Cache) Need(n int64) error {
	free, err := free(c.dir)
	if err != nil {
		return err
	}
	if free < n {
		return fmt.Errorf("%w on %s: %d MiB free, the build needs %d MiB (free some, or set %s to another disk)",
			ErrNoSpace, c.dir, free>>20, n>>20, EnvDir)
	}
	return nil
}

// explain names the cache's directory when err comes from a full disk.
func explain(err error, dir string) error {
	if errors.Is(err, ErrNoSpace) {
		return err
	}
	left, statErr := free(dir)
	full := statErr == nil && left < lowWater
	if full || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w on %s (free some, or set %s to another disk): %w", ErrNoSpace, dir, EnvDir, err)
	}
	return err
}

func free(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(s.Bavail) * s.Bsize, nil
}
