// Package image turns what a user gives as a root file system into a disk
// image that a guest can mount.
//
// Disk images are used as they are. Directories and tar archives are packed as
// EROFS, once: the result is cached under a key made of what can tell that the
// source has changed.
package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bulkhead-vm/bulkhead/guestkernel/cache"
)

// Image is a root file system on a disk image, which no guest may write.
type Image struct {
	Path string
	// FSType is the kernel's name of the file system; empty for a disk that
	// the guest has to search.
	FSType string
}

// Store makes images and caches them.
type Store struct {
	cache *cache.Cache
}

// Open returns the store in dir, which is made if it is missing. notify, which
// may be nil, hears what the user should know while waiting.
func Open(dir string, notify func(string)) (*Store, error) {
	c, err := cache.Open(dir, notify)
	if err != nil {
		return nil, err
	}
	return &Store{c}, nil
}

// forms is what RootFS takes, for error messages.
const forms = "give a directory, a .tar or .tar.gz, or an ext4, erofs, squashfs or raw disk image"

// RootFS returns the image for the root file system at path: a directory, a
// tar archive, plain or compressed with gzip, or a disk image.
func (s *Store) RootFS(path string) (Image, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Image{}, fmt.Errorf("root file system %s does not exist: %s", path, forms)
	case err != nil:
		return Image{}, fmt.Errorf("root file system: %w", err)
	case info.IsDir():
		return s.fromDirectory(path)
	case info.Mode().IsRegular() && info.Size() == 0:
		return Image{}, fmt.Errorf("root file system %s is an empty file: %s", path, forms)
	case !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeDevice:
		return Image{}, fmt.Errorf("root file system %s is a %s: %s", path, kind(info.Mode()), forms)
	}
	f, err := os.Open(path)
	if err != nil {
		return Image{}, fmt.Errorf("root file system: %w", err)
	}
	defer f.Close()
	switch format, err := identify(f); {
	case err != nil:
		return Image{}, fmt.Errorf("root file system %s: %w", path, err)
	case format == formatTar, format == formatGzip:
		return s.fromTar(path, info, format)
	case format == formatDisk:
		return Image{Path: path}, nil
	case format == formatUnknown:
		return Image{}, fmt.Errorf("root file system %s is of no known form: %s", path, forms)
	default:
		return Image{Path: path, FSType: string(format)}, nil
	}
}

func kind(m fs.FileMode) string {
	switch m.Type() {
	case fs.ModeSocket:
		return "socket"
	case fs.ModeNamedPipe:
		return "named pipe"
	}
	return "device"
}

func (s *Store) fromDirectory(path string) (Image, error) {
	dir, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Image{}, fmt.Errorf("root file system: %w", err)
	}
	var key cache.Key
	empty, err := fingerprint(dir, &key)
	if err != nil {
		return Image{}, fmt.Errorf("root file system: %w", err)
	}
	if empty {
		return Image{}, fmt.Errorf("root file system %s is an empty directory", path)
	}
	return s.pack(&key, func(w *packer) error { return w.directory(dir) })
}

func (s *Store) fromTar(path string, info fs.FileInfo, format format) (Image, error) {
	var key cache.Key
	key.AddString("tar", stamp(info))
	return s.pack(&key, func(w *packer) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return w.tar(f, format)
	})
}

const imageName = "rootfs.erofs"

// packVersion changes when the same source comes to give another image.
const packVersion = "1"

// cachePart is the part of the cache that images are in.
const cachePart = "rootfs"

// hide keeps images from other users: packed, the files of a root file system have
// lost the permissions that they had on the host.
func (s *Store) hide() error {
	dir := filepath.Join(s.cache.Dir(), cachePart)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cache of root file systems: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { // one that was made before is open
		return fmt.Errorf("cache of root file systems (set %s to a directory of your own): %w", cache.EnvDir, err)
	}
	return nil
}

// pack returns the image under key, which fill makes if it isn't cached.
func (s *Store) pack(key *cache.Key, fill func(*packer) error) (Image, error) {
	key.AddString("packer", packVersion)
	if err := s.hide(); err != nil {
		return Image{}, err
	}
	dir, err := s.cache.Get(cachePart, key, func(work cache.Work) error {
		out, err := os.Create(filepath.Join(work.Out, imageName))
		if err != nil {
			return err
		}
		return errors.Join(writeImage(out, work.Scratch, fill), out.Close())
	})
	if err != nil {
		return Image{}, fmt.Errorf("build the root file system: %w", err)
	}
	return Image{Path: filepath.Join(dir, imageName), FSType: string(formatErofs)}, nil
}

// writeImage packs what fill adds, and refuses to make an empty one.
func writeImage(out io.WriteSeeker, scratch string, fill func(*packer) error) error {
	w := newPacker(out, scratch)
	if err := fill(w); err != nil {
		return errors.Join(err, w.close())
	}
	if w.entries == 0 {
		return errors.Join(errors.New("it is empty"), w.close())
	}
	return w.close()
}
