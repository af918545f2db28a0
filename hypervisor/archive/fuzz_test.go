package archive

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"
)

// fuzzRoom is how much an archive may make there be.
const fuzzRoom = 8 << 20

// FuzzRead reads anything: what comes of it is a whole snapshot, or an error, and
// nothing beside the directory.
func FuzzRead(f *testing.F) {
	dir := saveOf(f, []byte("something"))
	for _, format := range formats {
		b := export(f, dir, format)
		f.Add(b)
		f.Add(b[:len(b)/2])
		f.Add(b[:2048])
	}
	f.Add(takeApart(f, export(f, dir, OCI)).join())
	f.Add([]byte{})
	f.Add(make([]byte, 1024))
	work := f.TempDir()
	if dir, err := os.MkdirTemp("/dev/shm", "fuzz"); err == nil { // where nothing waits for a disk
		work = dir
		f.Cleanup(func() { os.RemoveAll(dir) })
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		outer := filepath.Join(work, "outer")
		target := filepath.Join(outer, "target")
		if err := errors.Join(os.RemoveAll(outer), os.MkdirAll(target, 0o700)); err != nil {
			t.Fatal(err)
		}
		total := int64(0)
		room := func(n int64) error {
			if total += n; total > fuzzRoom {
				return unix.ENOSPC
			}
			return nil
		}
		path, info, err := Read(context.Background(), bytes.NewReader(b), Target{Dir: target, Room: room})
		if left, err := os.ReadDir(outer); err != nil || len(left) != 1 {
			t.Fatalf("beside the target is %v, %v", left, err)
		}
		if err != nil {
			return
		}
		if info == nil {
			t.Error("an archive says nothing of what it is of")
		}
		s, err := snapshot.Open(path)
		if err != nil {
			t.Fatalf("what was read isn't whole: %v", err)
		}
		if err := errors.Join(s.Verify(), s.Close()); err != nil {
			t.Error(err)
		}
	})
}
