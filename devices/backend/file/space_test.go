package file

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// allocated returns the bytes that a file takes on its disk.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func TestSpace(t *testing.T) {
	const size, off, n = 1 << 20, 256 << 10, 512 << 10
	tests := []struct {
		name  string
		do    func(d *File) error
		freed bool
	}{
		{"discard", func(d *File) error { return d.Discard(off, n) }, true},
		{"write zeroes and unmap", func(d *File) error { return d.WriteZeroes(off, n, true) }, true},
		{"write zeroes", func(d *File) error { return d.WriteZeroes(off, n, false) }, false},
		{"write zeroes by writing", func(d *File) error { return d.writeZeroes(off, n) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := image(t, size)
			want := bytes.Repeat([]byte{0xaa}, size)
			if err := os.WriteFile(path, want, 0o600); err != nil {
				t.Fatal(err)
			}
			d := open(t, path, false)
			if err := errors.Join(d.Flush(), tt.do(d), d.Flush()); err != nil {
				t.Fatal(err)
			}
			clear(want[off:][:n])
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the image holds something else: %v", err)
			}
			if freed := allocated(t, path) <= size-n; freed != tt.freed {
				t.Errorf("takes %d bytes on its disk", allocated(t, path))
			}
		})
	}
}

func TestTryReadAt(t *testing.T) {
	path := image(t, 1<<20)
	if err := os.WriteFile(path, bytes.Repeat([]byte{7}, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	d := open(t, path, true)
	buf := make([]byte, 4096)
	if err := d.ReadAt([][]byte{buf}, 0); err != nil { // now it is in memory
		t.Fatal(err)
	}
	clear(buf)
	done, err := d.TryReadAt([][]byte{buf[:100], buf[100:]}, 0)
	if err != nil || done == d.noNowait.Load() {
		t.Fatalf("TryReadAt = %v, %v; file system without nowait: %v", done, err, d.noNowait.Load())
	}
	if done && !bytes.Equal(buf, bytes.Repeat([]byte{7}, 4096)) {
		t.Error("read something else")
	}
	if done, err := d.TryReadAt([][]byte{buf}, 1<<20-512); done || err != nil {
		t.Errorf("past the end: %v, %v; want to be sent to ReadAt", done, err)
	}
}

// TestDirect needs page-aligned memory, which a guest's is.
func TestDirect(t *testing.T) {
	path := image(t, 1<<20)
	d, err := Open(path, Options{Direct: true})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	memory, err := unix.Mmap(-1, 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(memory)
	out, in := memory[:4096], memory[4096:]
	for i := range out {
		out[i] = byte(i)
	}
	if done, err := d.TryWriteAt([][]byte{out}, 8192); done || err != nil {
		t.Errorf("TryWriteAt = %v, %v: nothing is prompt without a page cache", done, err)
	}
	if err := errors.Join(d.WriteAt([][]byte{out}, 8192), d.ReadAt([][]byte{in}, 8192)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out, in) {
		t.Error("read something else than was written")
	}
	if size := d.BlockSize(); size < 512 || size > 4096 {
		t.Errorf("blocks of %d bytes", size)
	}
	if err := d.writeZeroes(8192, 4096); err != nil {
		t.Fatal(err)
	}
	if err := d.ReadAt([][]byte{in}, 8192); err != nil || !bytes.Equal(in, make([]byte, 4096)) {
		t.Errorf("zeroes read back otherwise: %v", err)
	}
}

func TestRefresh(t *testing.T) {
	path := image(t, 8192)
	d := open(t, path, false)
	if err := os.Truncate(path, 1<<20+100); err != nil {
		t.Fatal(err)
	}
	if d.Size() != 8192 {
		t.Errorf("size %d before Refresh", d.Size())
	}
	if err := d.Refresh(); err != nil || d.Size() != 1<<20 {
		t.Errorf("size %d after Refresh: %v", d.Size(), err)
	}
}
