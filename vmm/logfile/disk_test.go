package logfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of so many bytes.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skipf("NOT TESTED: no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// TestFullDisk fills a disk, makes room and fills it again: streams go on, every
// line is there or counted as lost, in its place, and readers see nothing else.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, 128<<10)
	path := filepath.Join(dir, "log")
	var warnings atomic.Int32
	w := openWriter(t, Config{Path: path, MaxBytes: 1 << 20, Warn: func(err error) {
		if !errors.Is(err, unix.ENOSPC) {
			t.Error(err)
		}
		warnings.Add(1)
	}})
	s := openStream(t, w, "out")
	follower := openReader(t, path, Options{Follow: true})
	const n = 60
	for i := range n {
		switch i {
		case 0, 40:
			fill(t, filepath.Join(dir, "other"))
		case 20:
			os.Remove(filepath.Join(dir, "other"))
		}
		fmt.Fprintf(s, "%d %s\n", i, strings.Repeat("x", 500+i))
		time.Sleep(time.Millisecond)
	}
	os.Remove(filepath.Join(dir, "other"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	checkComplete(t, texts(t, path, Options{}), n)
	follower.o.Follow = false
	checkComplete(t, rest(t, follower), n)
	if warnings.Load() != 1 {
		t.Errorf("%d warnings, want 1", warnings.Load())
	}
	for line := range strings.Lines(string(raw(t, path))) {
		if _, ok := parse([]byte(line), ""); !ok {
			t.Errorf("a line that is no record: %.80q", line)
		}
	}
}

// fill leaves a page or two of a disk free.
func fill(t *testing.T, path string) {
	t.Helper()
	b := make([]byte, 4096)
	f, err := os.Create(path)
	for err == nil {
		_, err = f.Write(b)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || f.Truncate(info.Size()-2*4096) != nil || f.Close() != nil {
		t.Fatal("make a little room")
	}
}

// checkComplete wants n numbered records, save for those that are said to be lost.
func checkComplete(t *testing.T, records []string, n int) {
	t.Helper()
	at, notes := 0, 0
	for _, record := range records {
		var number, lost int
		if _, err := fmt.Sscanf(record, Own+": %d lines are lost", &lost); err == nil {
			at, notes = at+lost, notes+1
			continue
		}
		if _, err := fmt.Sscanf(record, "%d ", &number); err != nil || number != at {
			t.Fatalf("record %.80q comes where number %d belongs", record, at)
		}
		at++
	}
	if at != n || notes == 0 {
		t.Errorf("%d records and lost lines, %d notes; want %d, and a note", at, notes, n)
	}
}

// TestUnwritable takes the directory away, as far as new files are concerned.
func TestUnwritable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "log")
	w := openWriter(t, Config{Path: path, MaxBytes: 200})
	s := openStream(t, w, "out")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		io.WriteString(s, "nobody can read this any more\n")
	}
	if err := w.Close(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("close: %v", err)
	}
}
