package snapshot

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestCopies has what is behind a disk be copied, within a file system and from another
// one: the sums are right.
func TestCopies(t *testing.T) {
	for name, dir := range map[string]string{"here": t.TempDir(), "elsewhere": "/dev/shm"} {
		t.Run(name, func(t *testing.T) {
			src, err := os.CreateTemp(dir, "snapshot-test-")
			if err != nil {
				t.Fatal(err)
			}
			defer os.Remove(src.Name())
			defer src.Close()
			want := make([]byte, 5<<20+77)
			copy(want[2<<20:], bytes.Repeat([]byte{7}, 70000))
			want[len(want)-1] = 3
			for _, at := range []int{2 << 20, 5 << 20} { // the rest are holes
				if _, err := src.WriteAt(want[at:min(at+1<<20, len(want))], int64(at)); err != nil {
					t.Fatal(err)
				}
			}
			m := newMachine(t)
			path := filepath.Join(t.TempDir(), "s")
			w, err := Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Discard()
			if err := errors.Join(w.Memory(t.Context(), m.mem), w.Copy(t.Context(), "blk0", src.Name()), w.Publish(Manifest{MemoryBytes: testSize}, state())); err != nil {
				t.Fatal(err)
			}
			s, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := s.Verify(); err != nil {
				t.Error(err)
			}
			sums, err := sumsOf(t.Context(), src, uint64(len(want))) // as of a clone
			if err != nil || !bytes.Equal(sums, s.disks[0].sums) {
				t.Errorf("%v, %v", sums, err)
			}
			b, err := os.ReadFile(filepath.Join(path, "blk0"))
			if err != nil || !bytes.Equal(b, want) {
				t.Errorf("the copy is another (%v)", err)
			}
		})
	}
}

// TestCopyGivesUp over a hole as well.
func TestCopyGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	src, err := os.Create(filepath.Join(t.TempDir(), "src"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if err := src.Truncate(1 << 40); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "copy"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := writeCopy(ctx, f, src); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
