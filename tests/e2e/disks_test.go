package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/backend/file"
	"github.com/bulkhead-vm/bulkhead/devices/backend/overlay"
	"github.com/bulkhead-vm/bulkhead/tests/e2e/stamp"
)

// TestDisksOfKilledWorker kills a worker whose guest writes: whatever the guest
// was told is on a disk must be there.
func TestDisksOfKilledWorker(t *testing.T) {
	t.Parallel()
	root := shellRoot(t)
	dir := workDir(t)
	buffered, direct, base, top := filepath.Join(dir, "buffered"), filepath.Join(dir, "direct"), filepath.Join(dir, "base"), filepath.Join(dir, "top")
	for _, path := range []string{buffered, direct, base} {
		makeSparse(t, path, 64<<20)
	}
	cmd := bulkhead(t, "run", "--rootfs", root,
		"--disk", buffered, "--disk", direct+":direct", "--disk", base+":overlay="+top,
		"--", "stamper", "/dev/vdb", "/dev/vdc", "/dev/vdd")
	var out lockedBuffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.waitFor(t, "written 20\n")
	if err := syscall.Kill(workerOf(t, cmd), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	var last int
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if _, err := fmt.Sscanf(lines[len(lines)-1], "written %d", &last); err != nil {
		t.Fatal(err, lines)
	}
	t.Logf("%d blocks on each of three disks when the worker was killed", last)
	for _, path := range []string{buffered, direct} {
		f, err := file.Open(path, file.Options{ReadOnly: true})
		mustHold(t, path, f, err, last)
	}
	f, err := file.Open(base, file.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	o, err := overlay.Open(top, f)
	mustHold(t, top, o, err, last)
}

type disk interface {
	ReadAt(bufs [][]byte, off int64) error
	Close() error
}

// mustHold opens nothing: err is whether d could be opened.
func mustHold(t *testing.T, name string, d disk, err error, last int) {
	t.Helper()
	if err != nil {
		t.Error(err)
		return
	}
	defer d.Close()
	got := make([]byte, stamp.Size)
	for n := 1; n <= last; n++ {
		if err := d.ReadAt([][]byte{got}, int64(n)*stamp.Size); err != nil || !bytes.Equal(got, stamp.Block(n)) {
			t.Errorf("%s: block %d of %d is not what was flushed: %v", name, n, last, err)
		}
	}
}

func makeSparse(t *testing.T, path string, size int64) {
	t.Helper()
	f, err := os.Create(path)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestDiskErrors has a guest meet a host file system that is full, a disk that
// isn't to be written and an image that was cut short, and give back what it
// doesn't need.
func TestDiskErrors(t *testing.T) {
	t.Parallel()
	dir := workDir(t)
	small := filepath.Join(dir, "small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=1M"); err != nil {
		t.Fatalf("mount: %v (run as root)", err)
	}
	t.Cleanup(func() { unix.Unmount(small, unix.MNT_DETACH) })
	full, fixed, short, trimmed := filepath.Join(small, "full"), filepath.Join(dir, "fixed"), filepath.Join(dir, "short"), filepath.Join(dir, "trimmed")
	for _, path := range []string{full, fixed, short, trimmed} {
		makeSparse(t, path, 8<<20)
	}
	const script = `
tell() { name=$1; shift; if "$@" 2>/dev/null; then echo $name done; else echo $name failed; fi; }
echo up; read go
tell full busybox dd if=/dev/zero of=/dev/vdb bs=65536 count=64 conv=fsync
tell room busybox dd if=/dev/zero of=/dev/vdb bs=65536 count=4 conv=fsync
tell fixed busybox dd if=/dev/zero of=/dev/vdc bs=4096 count=1 conv=fsync
tell short busybox dd if=/dev/vdd of=/dev/null bs=65536 skip=100 count=1
tell write busybox dd if=/dev/zero of=/dev/vde bs=65536 count=64 conv=fsync
echo written; read go
tell trim busybox blkdiscard -o 0 -l 2097152 /dev/vde
echo alive; read go
`
	cmd := bulkhead(t, "run", "-i", "--rootfs", shellRoot(t), "--disk", full, "--disk", fixed+":ro", "--disk", short, "--disk", trimmed,
		"--", "sh", "-c", script)
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	out.waitFor(t, "up\n")
	if err := os.Truncate(short, 1<<20); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(stdin)
	out.waitFor(t, "written\n")
	before := blocksOf(t, trimmed)
	fmt.Fprintln(stdin)
	out.waitFor(t, "alive\n")
	if after := blocksOf(t, trimmed); after > before-(2<<20) {
		t.Errorf("the image has %d bytes on the host, %d before 2 MiB were trimmed", after, before)
	}
	stdin.Close()
	cmd.Wait()
	for _, want := range []string{"full failed", "room done", "fixed failed", "short failed", "write done", "trim done"} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("%q is missing of %q", want, out.String())
		}
	}
}

// blocksOf returns the bytes that a file takes on the host's disk.
func blocksOf(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}
