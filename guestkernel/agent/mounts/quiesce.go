package mounts

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/plainfile"
)

const maxMounts = 16 << 20

// Quiesce writes everything to the disks and leaves no file system on one that
// can still be changed, for the machine to be turned off. Call it when no
// other process is left. covered is nil if the initramfs is still "/".
func Quiesce(covered *Covered) error {
	unix.Sync()
	err := quiesceMounts()
	if covered != nil {
		err = errors.Join(err, remount("/"), covered.quiesce())
	}
	unix.Sync()
	return err
}

// quiesceMounts unmounts what programs have mounted, the latest first.
func quiesceMounts() error {
	b, err := plainfile.Read("/proc/thread-self/mounts", maxMounts)
	if err != nil {
		return fmt.Errorf("what is mounted: %w", err)
	}
	list := onDisks(string(b))
	for i := len(list) - 1; i >= 0; i-- {
		if unix.Unmount(list[i], unix.UMOUNT_NOFOLLOW) != nil {
			err = errors.Join(err, remount(list[i]))
		}
	}
	return err
}

// onDisks returns the targets of a /proc/mounts, but "/", that are file
// systems on disks.
func onDisks(mounts string) (targets []string) {
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) < 2 || !strings.HasPrefix(f[0], "/dev/") || f[1] == "/" {
			continue
		}
		targets = append(targets, unescape(f[1]))
	}
	return targets
}

// unescape undoes what /proc/mounts does to spaces and the like: \ and three
// octal digits.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// remount makes the file system at path read-only.
func remount(path string) error {
	if err := unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", path, err)
	}
	return nil
}

// quiesce makes the disk above the root's base read-only. Memory is not worth
// it.
func (c *Covered) quiesce() error {
	if err := unix.Fchdir(c.fd); err != nil {
		return err
	}
	upper := c.workDir + "/" + upperDir
	var fs unix.Statfs_t
	if unix.Statfs(upper, &fs) != nil || fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC {
		return nil
	}
	return remount(upper)
}
