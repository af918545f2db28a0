// Package mounts gives a guest its file systems: the few that the agent needs
// first, the root, and those that programs expect in one.
//
// The root is put together below a directory of the initramfs and becomes "/"
// the way the kernel's documentation has it for an initramfs, which can't be
// unmounted: it is covered, and its files are deleted. What the root is made
// of stays mounted there, where no program reaches it and the agent does at
// the end, to leave clean disks behind.
package mounts

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/plainfile"
)

// mount is one to be made.
type mount struct {
	source, target, fsType string
	flags                  uintptr
	data                   string
	optional               bool // the kernel may lack it, or a root that can't be changed its place
}

// make makes the mount point and the mount. One that is there already is fine.
func (m mount) make() error {
	err := unix.Mount(m.source, m.target, m.fsType, m.flags, m.data)
	if errors.Is(err, unix.ENOENT) {
		if err = os.MkdirAll(m.target, 0o755); err == nil {
			err = unix.Mount(m.source, m.target, m.fsType, m.flags, m.data)
		}
	}
	if err == nil || errors.Is(err, unix.EBUSY) || m.optional && (errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EROFS)) {
		return nil
	}
	return fmt.Errorf("mount %s on %s: %w", m.fsType, m.target, err)
}

func makeAll(list []mount) error {
	for _, m := range list {
		if err := m.make(); err != nil {
			return err
		}
	}
	return nil
}

const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// Proc mounts /proc, where the kernel's command line is.
func Proc() error {
	return mount{"proc", "/proc", "proc", quiet, "", false}.make()
}

// Devices mounts /dev and /sys, where the disks are.
func Devices() error {
	return makeAll([]mount{
		{"dev", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=755", false},
		{"sys", "/sys", "sysfs", quiet, "", false},
	})
}

// Standard mounts what programs expect in a root file system that has /dev,
// /proc and /sys, and isn't there.
func Standard() error {
	for _, m := range []mount{
		{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "gid=5,mode=620,ptmxmode=666", false},
		{"shm", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777", false},
		{"mqueue", "/dev/mqueue", "mqueue", quiet, "", true},
		{"cgroup2", "/sys/fs/cgroup", "cgroup2", quiet, "", true},
		{"run", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755", true},
		{"tmp", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777", true},
	} {
		if m.there() {
			continue
		}
		if err := m.make(); err != nil {
			return err
		}
	}
	return links()
}

// there tells whether a root has what m would give it: a mount, or for /run
// and /tmp a directory that can be written to.
func (m mount) there() bool {
	switch m.target {
	case "/run", "/tmp":
		return plainfile.IsDir(m.target) && unix.Access(m.target, unix.W_OK) == nil
	case "/sys/fs/cgroup":
		if !plainfile.IsDir(m.target) {
			return true // no cgroups in this kernel
		}
	}
	return isMountPoint(m.target)
}

func isMountPoint(path string) bool {
	var here, above unix.Stat_t
	return unix.Stat(path, &here) == nil && unix.Stat(path+"/..", &above) == nil && here.Dev != above.Dev
}

// links makes the links in /dev that the kernel leaves to user space.
func links() error {
	for _, l := range [][2]string{
		{"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"},
		{"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"},
		{"pts/ptmx", "/dev/ptmx"},
	} {
		if err := os.Symlink(l[0], l[1]); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}
