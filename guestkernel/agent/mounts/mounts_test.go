package mounts

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// isolated runs f on a thread with mounts, a root and a directory of its own,
// which end with it.
func isolated(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread ends here
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			t.Errorf("mount namespace: %v", err)
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("needs %s", name)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// tree writes a small root file system.
func tree(t *testing.T) string {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(dir, "etc"), 0o755),
		os.WriteFile(filepath.Join(dir, "etc/marker"), []byte("base"), 0o644))
	return dir
}

// image makes a file system with the content of dir, and returns its file.
func image(t *testing.T, fsType, dir string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	switch fsType {
	case "ext4":
		must(t, os.WriteFile(path, nil, 0o600), os.Truncate(path, 8<<20))
		run(t, "mkfs.ext4", "-q", "-d", dir, path)
	case "erofs":
		run(t, "mkfs.erofs", path, dir)
	case "squashfs":
		run(t, "mksquashfs", dir, path, "-quiet", "-no-progress")
	}
	return path
}

// loop makes a file a block device.
func loop(t *testing.T, path string, args ...string) string {
	t.Helper()
	device := run(t, "losetup", append([]string{"-f", "--show", path}, args...)...)
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "-d", device).CombinedOutput(); err != nil {
			t.Errorf("losetup -d: %v\n%s", err, out)
		}
	})
	return device
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != want {
		t.Errorf("%s is %q, %v; want %q", path, b, err, want)
	}
}

func TestStandardMounts(t *testing.T) {
	root := t.TempDir()
	isolated(t, func() {
		must(t, unix.Chroot(root), unix.Chdir("/"))
		must(t, Proc(), Proc(), Devices(), Devices())
		must(t, Standard(), Standard())
		for _, m := range []string{"/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/run", "/tmp"} {
			if !isMountPoint(m) {
				t.Errorf("nothing is mounted on %s", m)
			}
		}
		for _, l := range []string{"/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr"} {
			if _, err := os.Readlink(l); err != nil {
				t.Error(err)
			}
		}
		if info, err := os.Stat("/tmp"); err != nil || info.Mode().Perm() != 0o777 || info.Mode()&os.ModeSticky == 0 {
			t.Errorf("/tmp is %v, %v", info.Mode(), err)
		}
	})
}

// TestStandardLeavesDirectories: a root that has them keeps its own.
func TestStandardLeavesDirectories(t *testing.T) {
	root := t.TempDir()
	must(t, os.Mkdir(filepath.Join(root, "run"), 0o755), os.Mkdir(filepath.Join(root, "tmp"), 0o777))
	isolated(t, func() {
		must(t, unix.Chroot(root), unix.Chdir("/"), Proc(), Devices(), Standard())
		for _, m := range []string{"/run", "/tmp"} {
			if isMountPoint(m) {
				t.Errorf("something is mounted on %s", m)
			}
		}
	})
}

func TestUnescape(t *testing.T) {
	const mounts = `/dev/vda / ext4 rw 0 0
/dev/vdb /data ext4 rw 0 0
proc /proc proc rw 0 0
/dev/vdc /with\040space\134n ext4 rw 0 0
/dev/vdd /short\04 ext4 rw 0 0
/dev/vde
`
	got := strings.Join(onDisks(mounts), "|")
	if want := `/data|/with space\n|/short\04`; got != want {
		t.Errorf("mounts on disks are %s, want %s", got, want)
	}
}
