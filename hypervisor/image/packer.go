package image

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/erofs/go-erofs"
	"golang.org/x/sys/unix"
)

// packer adds files to an EROFS image.
type packer struct {
	w       *erofs.Writer
	entries int             // beside the root directory
	leaves  map[string]bool // what isn't a directory
}

func newPacker(out io.WriteSeeker, scratch string) *packer {
	return &packer{
		w:      erofs.Create(out, erofs.WithTempDir(scratch), erofs.WithBuildTime(0, 0)),
		leaves: map[string]bool{},
	}
}

func (p *packer) close() error { return p.w.Close() }

// entry is one file, whatever it comes from.
type entry struct {
	name     string // absolute, clean
	mode     fs.FileMode
	uid, gid int
	mtime    time.Time
	link     string    // of a symbolic link
	rdev     uint64    // of a device
	content  io.Reader // of a regular file
	xattrs   map[string]string
}

// add puts e into the image. Sockets are left out: they mean nothing there.
func (p *packer) add(e entry) error {
	if e.mode.Type() == fs.ModeSocket {
		return nil
	}
	for dir := path.Dir(e.name); dir != "/"; dir = path.Dir(dir) {
		if p.leaves[dir] {
			return fmt.Errorf("%s: %s is not a directory", e.name, dir)
		}
	}
	if err := p.create(e); err != nil {
		return fmt.Errorf("%s: %w", e.name, err)
	}
	if e.name != "/" {
		p.entries++
	}
	if !e.mode.IsDir() {
		p.leaves[e.name] = true
	}
	return p.setAttributes(e)
}

func (p *packer) create(e entry) error {
	switch e.mode.Type() {
	case fs.ModeDir:
		if _, err := p.w.Stat(e.name); err == nil {
			return nil // the root, or made for the sake of what is in it
		}
		return p.w.Mkdir(e.name, e.mode.Perm())
	case 0:
		return p.createFile(e)
	case fs.ModeSymlink:
		return p.w.Symlink(e.link, e.name)
	case fs.ModeNamedPipe:
		return p.w.Mknod(e.name, unix.S_IFIFO, 0)
	case fs.ModeDevice:
		return p.w.Mknod(e.name, unix.S_IFBLK, uint32(e.rdev))
	case fs.ModeDevice | fs.ModeCharDevice:
		return p.w.Mknod(e.name, unix.S_IFCHR, uint32(e.rdev))
	}
	return fmt.Errorf("unknown kind of file (mode %v)", e.mode)
}

func (p *packer) createFile(e entry) error {
	f, err := p.w.Create(e.name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, e.content); err != nil {
		return err
	}
	return f.Close()
}

func (p *packer) setAttributes(e entry) error {
	if e.mode.Type() != fs.ModeSymlink {
		if err := p.w.Chmod(e.name, e.mode); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	if err := p.w.Chown(e.name, e.uid, e.gid); err != nil {
		return fmt.Errorf("%s: %w", e.name, err)
	}
	if err := p.w.Chtimes(e.name, e.mtime, e.mtime); err != nil {
		return fmt.Errorf("%s: %w", e.name, err)
	}
	for name, value := range e.xattrs {
		if err := p.w.Setxattr(e.name, name, value); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}
