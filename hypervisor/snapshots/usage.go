package snapshots

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Usage is how much snapshots take of the disk. Files that several share count once.
type Usage struct {
	Bytes uint64
	seen  map[inode]bool
}

type inode struct{ device, number uint64 }

// Count adds a snapshot to u.
func (d *Dir) Count(u *Usage, name string) error { return u.add(d.named(name)) }

// Count adds what is in the stage.
func (s *Stage) Count(u *Usage) error { return u.add(s.Path()) }

// Count adds what was imported.
func (i *Import) Count(u *Usage) error { return u.add(i.path()) }

// add adds the files of a directory, if there is one.
func (u *Usage) add(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if u.seen == nil {
		u.seen = map[inode]bool{}
	}
	for _, e := range entries {
		var s unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, e.Name()), &s); err != nil {
			continue // it is gone by now
		}
		if id := (inode{s.Dev, s.Ino}); !u.seen[id] {
			u.seen[id] = true
			u.Bytes += uint64(s.Blocks) * 512 // the kernel's unit, whatever the disk's is
		}
	}
	return nil
}
