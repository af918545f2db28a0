package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/erofs/go-erofs"

	"github.com/bulkhead-vm/bulkhead/guestkernel/cache"
)

func newStore(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rootFS builds the image of path and opens it.
func rootFS(t *testing.T, path string) fs.FS {
	t.Helper()
	img, err := newStore(t).RootFS(path)
	if err != nil {
		t.Fatal(err)
	}
	if img.FSType != "erofs" {
		t.Errorf("file system is %q, want erofs", img.FSType)
	}
	f, err := os.Open(img.Path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fsys, err := erofs.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

func wantFile(t *testing.T, fsys fs.FS, name, want string) {
	t.Helper()
	if got, err := fs.ReadFile(fsys, name); err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v; want %q", name, got, err, want)
	}
}

func write(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "bin/tool"), "#!", 0o755|fs.ModeSetuid)
	write(t, filepath.Join(dir, "etc/big"), strings.Repeat("bulkhead", 5000), 0o640)
	write(t, filepath.Join(dir, "etc/empty"), "", 0o600)
	if err := os.Symlink("bin/tool", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	fsys := rootFS(t, dir)
	wantFile(t, fsys, "bin/tool", "#!")
	wantFile(t, fsys, "etc/big", strings.Repeat("bulkhead", 5000))
	wantFile(t, fsys, "etc/empty", "")
	for name, want := range map[string]uint32{
		"bin/tool": syscall.S_IFREG | 0o4755, "etc/big": syscall.S_IFREG | 0o640,
		"link": syscall.S_IFLNK | 0o777, "fifo": syscall.S_IFIFO | 0o600,
	} {
		info, err := fs.Lstat(fsys, name)
		if err != nil {
			t.Fatal(err)
		}
		if got := uint32(info.Mode()) & 0xffff; got != want { // the raw mode, by this reader
			t.Errorf("%s has mode %#o, want %#o", name, got, want)
		}
	}
	if target, err := fs.ReadLink(fsys, "link"); err != nil || target != "bin/tool" {
		t.Errorf("link leads to %q, %v", target, err)
	}
}

// TestImagesAreForOneUser: what others couldn't read on the host they can't in the
// cache.
func TestImagesAreForOneUser(t *testing.T) {
	dir, s := t.TempDir(), newStore(t)
	write(t, filepath.Join(dir, "etc/shadow"), "x", 0o600)
	open := filepath.Join(s.cache.Dir(), "rootfs") // of an earlier version
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	img, err := s.RootFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(open); err != nil || info.Mode().Perm() != 0o700 || !strings.HasPrefix(img.Path, open) {
		t.Errorf("%s is in %v, %v", img.Path, info.Mode(), err)
	}
}

func TestDirectoryIsCachedUntilItChanges(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "one", 0o644)
	s := newStore(t)
	get := func() string {
		img, err := s.RootFS(dir)
		if err != nil {
			t.Fatal(err)
		}
		return img.Path
	}
	first := get()
	if get() != first {
		t.Error("built again though nothing changed")
	}
	write(t, filepath.Join(dir, "file"), "two", 0o644)
	if get() == first {
		t.Error("not built again though a file changed")
	}
}

// archive writes a tar file of the members.
func archive(t *testing.T, compress bool, members ...tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range members {
		content := ""
		if h.Typeflag == tar.TypeReg {
			content, h.Linkname = h.Linkname, "" // the tests put it there
			h.Size = int64(len(content))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rootfs.tar")
	if compress {
		var z bytes.Buffer
		zw := gzip.NewWriter(&z)
		zw.Write(b.Bytes())
		zw.Close()
		b = z
	}
	write(t, path, b.String(), 0o644)
	return path
}

func reg(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: content}
}

func TestTar(t *testing.T) {
	for _, compress := range []bool{false, true} {
		fsys := rootFS(t, archive(t, compress,
			tar.Header{Typeflag: tar.TypeDir, Name: "./usr/bin/", Mode: 0o755},
			tar.Header{Typeflag: tar.TypeSymlink, Name: "bin", Linkname: "usr/bin"},
			reg("./usr/bin/sh", "old shell"),
			reg("bin/cat", "through the link"),
			tar.Header{Typeflag: tar.TypeLink, Name: "usr/bin/dog", Linkname: "bin/cat"},
			reg("deep/down/file", "parents missing"),
			reg("../../escape", "stays inside"),
			reg("usr/bin/sh", "new shell"),
		))
		wantFile(t, fsys, "usr/bin/sh", "new shell")
		wantFile(t, fsys, "usr/bin/cat", "through the link")
		wantFile(t, fsys, "usr/bin/dog", "through the link")
		wantFile(t, fsys, "deep/down/file", "parents missing")
		wantFile(t, fsys, "escape", "stays inside")
	}
}

func TestBadTars(t *testing.T) {
	good := archive(t, false, reg("file", strings.Repeat("x", 5000)))
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path, want string
	}{
		{"truncated", writeTemp(t, b[:2000]), "truncated"},
		{"hard link to nothing", archive(t, false, tar.Header{Typeflag: tar.TypeLink, Name: "a", Linkname: "b"}), "hard link"},
		{"links in a circle", archive(t, false,
			tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "b"},
			tar.Header{Typeflag: tar.TypeSymlink, Name: "b", Linkname: "a"},
			reg("a/x", "")), "too many symbolic links"},
		{"file as a parent", archive(t, false, reg("a", ""), reg("a/b", "")), "not a directory"},
		{"gzip of something else", writeTemp(t, []byte("\x1f\x8bnonsense")), "gzip"},
		{"empty", archive(t, false, tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755}), "empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newStore(t).RootFS(tt.path)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v; want it to say %q", err, tt.want)
			}
		})
	}
}

func writeTemp(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, string(b), 0o644)
	return path
}

func TestDiskImagesAreUsedAsTheyAre(t *testing.T) {
	tests := []struct {
		name   string
		offset int
		magic  string
		want   string
	}{
		{"ext4", 1080, "\x53\xef", "ext4"},
		{"erofs", 1024, "\xe2\xe1\xf5\xe0", "erofs"},
		{"squashfs", 0, "hsqs", "squashfs"},
		{"partitioned", 510, "\x55\xaa", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := make([]byte, 8192)
			copy(b[tt.offset:], tt.magic)
			path := writeTemp(t, b)
			img, err := newStore(t).RootFS(path)
			if err != nil || img.Path != path || img.FSType != tt.want {
				t.Errorf("RootFS = %+v, %v; want the file itself as %q", img, err, tt.want)
			}
		})
	}
}

func TestRootFSRefuses(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path, want string
	}{
		{"missing", filepath.Join(dir, "absent"), "does not exist: give a directory"},
		{"empty directory", t.TempDir(), "empty directory"},
		{"empty file", writeTemp(t, nil), "empty file"},
		{"text", writeTemp(t, []byte("#!/bin/sh\necho hello\n")), "no known form"},
		{"pipe", fifo, "named pipe"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newStore(t).RootFS(tt.path)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v; want it to say %q", err, tt.want)
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("NOT TESTED: can't mount a small tmpfs: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	source := t.TempDir()
	write(t, filepath.Join(source, "big"), strings.Repeat("x", 4<<20), 0o644)
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.RootFS(source); !errors.Is(err, cache.ErrNoSpace) {
		t.Errorf("error is %v, want ErrNoSpace", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "rootfs", "[^.]*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
