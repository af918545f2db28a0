package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// directory packs the tree below dir.
func (p *packer) directory(dir string) error {
	return walk(dir, func(name string, info fs.FileInfo) error {
		return p.addPath(filepath.Join(dir, name), name, info)
	})
}

func (p *packer) addPath(path, name string, info fs.FileInfo) (err error) {
	st := info.Sys().(*syscall.Stat_t) // walk checked it
	e := entry{
		name: name, mode: info.Mode(),
		uid: int(st.Uid), gid: int(st.Gid), mtime: info.ModTime(), rdev: st.Rdev,
	}
	if e.xattrs, err = xattrs(path); err != nil {
		return err
	}
	switch info.Mode().Type() {
	case fs.ModeSymlink:
		if e.link, err = os.Readlink(path); err != nil {
			return err
		}
	case 0:
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		e.content = f
	}
	return p.add(e)
}

// xattrs returns a file's extended attributes: capabilities, ACLs, and those
// of users. Labels of the host's security policy stay here.
func xattrs(path string) (map[string]string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if errors.Is(err, unix.ENOTSUP) || n == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list attributes of %s: %w", path, err)
	}
	all := map[string]string{}
	for _, name := range strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		if !portable(name) {
			continue
		}
		n, err := unix.Lgetxattr(path, name, buf)
		if err != nil {
			return nil, fmt.Errorf("read attribute %s of %s: %w", name, path, err)
		}
		all[name] = string(buf[:n])
	}
	return all, nil
}

func portable(attribute string) bool {
	return strings.HasPrefix(attribute, "user.") ||
		attribute == "security.capability" ||
		attribute == "system.posix_acl_access" || attribute == "system.posix_acl_default"
}
