package file

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func image(t *testing.T, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, path string, readOnly bool) *File {
	t.Helper()
	d, err := Open(path, Options{ReadOnly: readOnly})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestReadBackAcrossBuffers(t *testing.T) {
	d := open(t, image(t, 1<<20), false)
	// More buffers than one system call takes.
	var out, in [][]byte
	for i := range 300 {
		out = append(out, bytes.Repeat([]byte{byte(i)}, 1+i%7))
		in = append(in, make([]byte, 1+i%7))
	}
	if err := d.WriteAt(out, 4096); err != nil {
		t.Fatal(err)
	}
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := d.ReadAt(in, 4096); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.Join(in, nil), bytes.Join(out, nil)) {
		t.Error("read something else than was written")
	}
}

func TestFileBecomesShorter(t *testing.T) {
	path := image(t, 8192)
	d := open(t, path, true)
	if err := os.Truncate(path, 5000); err != nil {
		t.Fatal(err)
	}
	if err := d.ReadAt([][]byte{make([]byte, 4096)}, 4096); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("ReadAt = %v, want ErrUnexpectedEOF", err)
	}
}

func TestWriterIsAlone(t *testing.T) {
	path := image(t, 4096)
	open(t, path, true)
	open(t, path, true)
	if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("opened for writing beside readers: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "absent"), Options{ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
	if _, err := Open(t.TempDir(), Options{ReadOnly: true}); err == nil {
		t.Error("opened a directory")
	}
	if _, err := Open("/dev/null", Options{ReadOnly: true}); err == nil {
		t.Error("opened a character device")
	}
}
