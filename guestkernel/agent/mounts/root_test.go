package mounts

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

func TestAssemble(t *testing.T) {
	dir := tree(t)
	ext4, erofs, squashfs := image(t, "ext4", dir), image(t, "erofs", dir), image(t, "squashfs", dir)
	upper := image(t, "ext4", t.TempDir())
	tests := []struct {
		name     string
		base     string
		root     Root
		writable bool
	}{
		{"erofs and memory", erofs, Root{Kind: Memory}, true},
		{"squashfs and little memory", squashfs, Root{Kind: Memory, Size: 1 << 20}, true},
		{"ext4 and memory", ext4, Root{Kind: Memory, FSType: "ext4"}, true},
		{"erofs and a disk", erofs, Root{Kind: Disk}, true},
		{"erofs and a disk of a kind", erofs, Root{Kind: Disk, UpperFSType: "ext4"}, true},
		{"ext4 writable", ext4, Root{Kind: Writable}, true},
		{"ext4 read-only", ext4, Root{Kind: ReadOnly}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.root.Device = loop(t, tt.base)
			if tt.root.Kind == Disk {
				tt.root.UpperDevice = loop(t, upper)
			}
			work := t.TempDir()
			isolated(t, func() {
				root, err := tt.root.Assemble(work)
				must(t, err)
				wantFile(t, filepath.Join(root, "etc/marker"), "base")
				err = os.WriteFile(filepath.Join(root, "etc/new"), []byte("new"), 0o644)
				if tt.writable != (err == nil) {
					t.Errorf("write: %v", err)
				}
				must(t, unix.Unmount(root, 0))
				for _, d := range []string{upperDir, baseDir} {
					_ = unix.Unmount(filepath.Join(work, d), 0)
				}
			})
		})
	}
}

func TestMemoryUpperIsBounded(t *testing.T) {
	root := Root{Device: loop(t, image(t, "erofs", tree(t))), Kind: Memory, Size: 1 << 20}
	work := t.TempDir()
	isolated(t, func() {
		path, err := root.Assemble(work)
		must(t, err)
		if err := os.WriteFile(filepath.Join(path, "big"), make([]byte, 2<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("2 MiB in 1: %v", err)
		}
		must(t, unix.Unmount(path, 0), unix.Unmount(filepath.Join(work, upperDir), 0), unix.Unmount(filepath.Join(work, baseDir), 0))
	})
}

func TestAssembleFailures(t *testing.T) {
	blankFile := filepath.Join(t.TempDir(), "blank")
	must(t, os.WriteFile(blankFile, nil, 0o600), os.Truncate(blankFile, 1<<20))
	blank, erofs := loop(t, blankFile), loop(t, image(t, "erofs", tree(t)))
	tests := []struct {
		name string
		root Root
		want fail.Kind
	}{
		{"no device", Root{Device: "/dev/no-such"}, fail.NotFound},
		{"no block device", Root{Device: "/dev/null"}, fail.Invalid},
		{"blank", Root{Device: blank}, fail.Invalid},
		{"another type", Root{Device: erofs, FSType: "ext4"}, fail.Internal},
		{"blank upper", Root{Device: erofs, Kind: Disk, UpperDevice: blank}, fail.Untimely},
		{"no upper", Root{Device: erofs, Kind: Disk, UpperDevice: "/dev/no-such"}, fail.NotFound},
		{"read-only upper", Root{Device: erofs, Kind: Disk, UpperDevice: erofs}, fail.Internal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			work := t.TempDir()
			isolated(t, func() {
				if path, err := tt.root.Assemble(work); err == nil || fail.KindOf(err) != tt.want {
					t.Errorf("Assemble = %q, %v", path, err)
				}
				b, err := os.ReadFile("/proc/thread-self/mounts")
				must(t, err)
				if strings.Contains(string(b), work) {
					t.Errorf("left mounted:\n%s", b)
				}
			})
		})
	}
}

// TestSwitchRoot goes the whole way of a guest: from an initramfs in memory
// to an overlay, and leaves the disk clean in the end.
func TestSwitchRoot(t *testing.T) {
	base := loop(t, image(t, "erofs", tree(t)))
	upperImage := image(t, "ext4", t.TempDir())
	upper := loop(t, upperImage)
	initramfs := t.TempDir()
	isolated(t, func() {
		must(t, unix.Mount("initramfs", initramfs, "tmpfs", 0, ""), unix.Chroot(initramfs), unix.Chdir("/"))
		must(t, os.WriteFile("/init", []byte("agent"), 0o700), os.MkdirAll("/lib/deep", 0o755),
			os.Symlink("/init", "/lib/deep/link"), Proc(), Devices())
		old, err := os.Open("/")
		must(t, err)
		defer old.Close()

		root, err := Root{Device: base, Kind: Disk, UpperDevice: upper}.Assemble("/mnt")
		must(t, err)
		covered, err := SwitchRoot(root, "/mnt")
		must(t, err, Standard())
		wantFile(t, "/etc/marker", "base")
		if _, err := os.Stat("/proc/self/status"); err != nil || !isMountPoint("/sys") || !isMountPoint("/dev") {
			t.Errorf("/proc, /sys and /dev are not all there: %v", err)
		}
		if _, err := os.Stat("/mnt"); !os.IsNotExist(err) {
			t.Errorf("the initramfs can be reached: %v", err)
		}
		if b, _ := os.ReadFile("/proc/thread-self/mounts"); strings.Contains(string(b), " /mnt") {
			t.Errorf("what is below the root can be seen:\n%s", b)
		}
		if names := freed(t, old); len(names) != 1 || names[0] != "mnt" {
			t.Errorf("the initramfs holds %q; want only what is mounted on", names)
		}
		must(t, os.WriteFile("/etc/kept", []byte("kept"), 0o644))
		must(t, Quiesce(covered))
		if err := os.WriteFile("/etc/late", nil, 0o644); !errors.Is(err, unix.EROFS) {
			t.Errorf("write after Quiesce: %v", err)
		}
		must(t, unix.Close(covered.fd))
	})
	if out := run(t, "dumpe2fs", "-h", upperImage); strings.Contains(out, "needs_recovery") {
		t.Errorf("the disk wasn't left clean:\n%s", out)
	}
	run(t, "debugfs", "-R", "stat /upper/etc/kept", upperImage)
}

// freed returns what is in a directory after a while in which it gets less.
func freed(t *testing.T, dir *os.File) (names []string) {
	for range 1000 {
		_, err := dir.Seek(0, io.SeekStart)
		must(t, err)
		names, err = dir.Readdirnames(-1)
		must(t, err)
		if len(names) <= 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return names
}

// TestSwitchRootRefusesLinks: a link in place of /proc could lead anywhere.
func TestSwitchRootRefusesLinks(t *testing.T) {
	dir := tree(t)
	must(t, os.Symlink("/etc", filepath.Join(dir, "proc")))
	base := loop(t, image(t, "erofs", dir))
	initramfs := t.TempDir()
	isolated(t, func() {
		must(t, unix.Mount("initramfs", initramfs, "tmpfs", 0, ""), unix.Chroot(initramfs), unix.Chdir("/"))
		must(t, Proc(), Devices())
		root, err := Root{Device: base, Kind: Memory}.Assemble("/mnt")
		must(t, err)
		if _, err := SwitchRoot(root, "/mnt"); err == nil {
			t.Error("a root with a link in place of /proc was taken")
		}
	})
}
