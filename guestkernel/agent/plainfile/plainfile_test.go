package plainfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	file, fifo := filepath.Join(dir, "file"), filepath.Join(dir, "fifo")
	if err := errors.Join(os.WriteFile(file, []byte("12345"), 0o600), unix.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	if b, err := Read(file, 5); err != nil || string(b) != "12345" {
		t.Errorf("Read = %q, %v", b, err)
	}
	if _, err := Read(file, 4); err == nil {
		t.Error("a file over the limit was read")
	}
	for _, path := range []string{fifo, dir, "/dev/zero"} {
		if _, err := Read(path, 10); !errors.Is(err, ErrNotRegular) {
			t.Errorf("Read(%s): %v, want ErrNotRegular", path, err)
		}
	}
	if _, err := Read(filepath.Join(dir, "none"), 10); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Read of nothing: %v", err)
	}
}

func TestReplaceTakesTheLinksPlace(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "target")
	if err := errors.Join(os.WriteFile(target, []byte("old"), 0o600), os.Symlink("target", path)); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"one", "two"} {
		if err := Replace(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != 0o644 {
			t.Errorf("mode is %v, %v", info.Mode(), err)
		}
		if b, _ := os.ReadFile(path); string(b) != content {
			t.Errorf("content is %q, want %q", b, content)
		}
	}
	if b, _ := os.ReadFile(target); string(b) != "old" {
		t.Errorf("the link's target was written: %q", b)
	}
}
