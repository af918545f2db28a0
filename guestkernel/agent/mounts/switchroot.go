package mounts

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Covered is the initramfs after another root has covered it.
type Covered struct {
	fd int // its "/", out of every program's reach; open for good
	// workDir is where Assemble worked, from there.
	workDir string
}

// SwitchRoot makes newRoot, which Assemble made below workDir, the "/" of this
// process, with the /dev, /proc and /sys there are, and deletes the
// initramfs's files.
func SwitchRoot(newRoot, workDir string) (*Covered, error) {
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the initramfs: %w", err)
	}
	c := &Covered{fd: fd, workDir: workDir[1:]}
	if err := c.switchTo(newRoot); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("switch to the root file system: %w", err)
	}
	go c.free() // nobody waits for it
	return c, nil
}

func (c *Covered) switchTo(newRoot string) error {
	for _, name := range []string{"dev", "proc", "sys"} {
		if err := move(name, newRoot); err != nil {
			return err
		}
	}
	if err := unix.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move it to /: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return unix.Chdir("/")
}

// move takes the mount of a name over into newRoot, where a link could lead
// anywhere.
func move(name, newRoot string) error {
	target := filepath.Join(newRoot, name)
	info, err := os.Lstat(target)
	if os.IsNotExist(err) {
		err = os.Mkdir(target, 0o755)
	} else if err == nil && !info.IsDir() {
		err = fmt.Errorf("it has something else than a directory in place of /%s", name)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount("/"+name, target, "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move /%s: %w", name, err)
	}
	return nil
}

// free deletes what the covered file system holds if that is memory.
func (c *Covered) free() {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if unix.Fstatfs(c.fd, &fs) != nil || fs.Type != unix.RAMFS_MAGIC && fs.Type != unix.TMPFS_MAGIC || unix.Fstat(c.fd, &st) != nil {
		return
	}
	deleteIn(c.fd, st.Dev)
}

// deleteIn deletes what is in the directory fd and on the device dev.
// Directories that something is mounted on stay.
func deleteIn(fd int, dev uint64) {
	copied, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	f := os.NewFile(uintptr(copied), ".")
	names, _ := f.Readdirnames(-1)
	f.Close()
	for _, name := range names {
		var st unix.Stat_t
		if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Dev != dev {
			continue
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			_ = unix.Unlinkat(fd, name, 0)
			continue
		}
		if sub, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err == nil {
			deleteIn(sub, dev)
			unix.Close(sub)
		}
		_ = unix.Unlinkat(fd, name, unix.AT_REMOVEDIR)
	}
}
