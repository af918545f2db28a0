package image

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/bulkhead-vm/bulkhead/guestkernel/cache"
)

// stamp tells a file from every other and from itself before a change: the
// kernel moves the change time on whenever content or attributes change.
func stamp(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Sprint(info.Name(), info.Size(), info.ModTime())
	}
	return fmt.Sprint(st.Dev, st.Ino, st.Mode, st.Uid, st.Gid, st.Rdev, st.Size, st.Mtim, st.Ctim)
}

// fingerprint adds to key all that can tell that the tree below dir changed,
// without reading a file, and reports whether there is nothing in it.
func fingerprint(dir string, key *cache.Key) (empty bool, err error) {
	h := sha256.New()
	empty = true
	err = walk(dir, func(name string, info fs.FileInfo) error {
		if name != "/" {
			empty = false
		}
		fmt.Fprintf(h, "%q %s\n", name, stamp(info))
		return nil
	})
	key.AddString("directory", hex.EncodeToString(h.Sum(nil)))
	return empty, err
}

// walk calls do for dir itself, as "/", and everything below, each directory
// before what is in it. It stays on one file system, so that a host's /proc
// and the like don't get in.
func walk(dir string, do func(name string, info fs.FileInfo) error) error {
	var device uint64
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return fmt.Errorf("%s: the file system tells too little about its files", path)
		}
		if path == dir {
			device = st.Dev
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if err := do(filepath.Join("/", rel), info); err != nil {
			return err
		}
		if info.IsDir() && st.Dev != device {
			return fs.SkipDir
		}
		return nil
	})
}
