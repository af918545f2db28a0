package overlay

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/backend/file"
)

const diskSize = 37*Cluster + 1536 // the last cluster is short

// base makes a base image of random bytes.
func base(t testing.TB) (path string, content []byte) {
	t.Helper()
	content = make([]byte, diskSize)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(content)
	path = filepath.Join(t.TempDir(), "base")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, content
}

func create(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "overlay")
	if err := Create(path, diskSize); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path, basePath string) *Overlay {
	t.Helper()
	b, err := file.Open(basePath, file.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	o, err := Open(path, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.closeFiles() })
	return o
}

func contents(t testing.TB, o *Overlay) []byte {
	t.Helper()
	b := make([]byte, o.Size())
	if err := o.ReadAt([][]byte{b[:700], b[700:9000], b[9000:]}, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAgainstModel does to an overlay and to a slice what a guest might, and
// compares; again after it was closed, and the base must be as it was.
func TestAgainstModel(t *testing.T) {
	basePath, want := base(t)
	original := bytes.Clone(want)
	path := create(t)
	o := open(t, path, basePath)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		off := rng.Int64N(diskSize/512) * 512
		n := min((rng.Int64N(40)+1)*512, diskSize-off)
		data := make([]byte, n)
		var err error
		switch rng.IntN(6) {
		case 0:
			err = o.WriteZeroes(off, n, rng.IntN(2) == 0)
		case 1:
			err = o.Discard(off, n)
		case 2:
			if err := o.ReadAt([][]byte{data}, off); err != nil || !bytes.Equal(data, want[off:][:n]) {
				t.Fatalf("%d bytes at %d read something else: %v", n, off, err)
			}
			continue
		case 3:
			for i := range data {
				data[i] = byte(rng.Uint32())
			}
			var done bool
			if done, err = o.TryWriteAt([][]byte{data}, off); !done {
				continue
			}
		default:
			for i := range data {
				data[i] = byte(rng.Uint32())
			}
			err = o.WriteAt([][]byte{data[:n/2], data[n/2:]}, off)
		}
		if err != nil {
			t.Fatal(err)
		}
		copy(want[off:], data)
	}
	if !bytes.Equal(contents(t, o), want) {
		t.Fatal("the disk holds something else")
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(contents(t, open(t, path, basePath)), want) {
		t.Error("opened again, the disk holds something else")
	}
	if b, err := os.ReadFile(basePath); err != nil || !bytes.Equal(b, original) {
		t.Errorf("the base changed: %v", err)
	}
}

// TestFlushSurvivesKill drops an overlay without closing it.
func TestFlushSurvivesKill(t *testing.T) {
	basePath, want := base(t)
	path := create(t)
	o := open(t, path, basePath)
	data := bytes.Repeat([]byte("flushed "), 64)
	if err := errors.Join(o.WriteAt([][]byte{data}, 5*Cluster+512), o.Flush()); err != nil {
		t.Fatal(err)
	}
	copy(want[5*Cluster+512:], data)
	if err := o.WriteAt([][]byte{bytes.Repeat([]byte{0xee}, Cluster)}, 9*Cluster); err != nil {
		t.Fatal(err)
	}
	if err := o.closeFiles(); err != nil {
		t.Fatal(err)
	}
	got := contents(t, open(t, path, basePath))
	clear(want[9*Cluster:][:Cluster]) // never flushed: old or new
	clear(got[9*Cluster:][:Cluster])
	if !bytes.Equal(got, want) {
		t.Error("what was flushed is lost")
	}
}

// TestNeighboursInOneCluster has every sector of a cluster written by a
// goroutine of its own.
func TestNeighboursInOneCluster(t *testing.T) {
	basePath, _ := base(t)
	o := open(t, create(t), basePath)
	for c := range int64(20) {
		var wg sync.WaitGroup
		for s := range int64(Cluster / 512) {
			wg.Go(func() {
				if err := o.WriteAt([][]byte{bytes.Repeat([]byte{byte(s)}, 512)}, c*Cluster+s*512); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got := make([]byte, Cluster)
		if err := o.ReadAt([][]byte{got}, c*Cluster); err != nil {
			t.Fatal(err)
		}
		for s := range Cluster / 512 {
			if !bytes.Equal(got[512*s:][:512], bytes.Repeat([]byte{byte(s)}, 512)) {
				t.Fatalf("sector %d of cluster %d is not what was written last", s, c)
			}
		}
	}
}

// TestNothing reads and writes no bytes, where the bitmap ends and where a
// cluster doesn't begin.
func TestNothing(t *testing.T) {
	const size = 8 * bitmapPage * Cluster // one page of the bitmap, exactly
	basePath := filepath.Join(t.TempDir(), "base")
	if err := os.WriteFile(basePath, bytes.Repeat([]byte{7}, 2*Cluster), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "overlay")
	if err := errors.Join(os.Truncate(basePath, size), Create(path, size)); err != nil {
		t.Fatal(err)
	}
	o := open(t, path, basePath)
	for _, off := range []int64{0, 512, size} {
		if done, err := o.TryReadAt(nil, off); !done || err != nil {
			t.Errorf("TryReadAt at %d: %v, %v", off, done, err)
		}
		if done, err := o.TryWriteAt(nil, off); !done || err != nil {
			t.Errorf("TryWriteAt at %d: %v, %v", off, done, err)
		}
		err := errors.Join(o.ReadAt(nil, off), o.WriteAt(nil, off), o.WriteZeroes(off, 0, true), o.Discard(off, 0))
		if err != nil {
			t.Errorf("at %d: %v", off, err)
		}
	}
	got := make([]byte, Cluster)
	if err := o.ReadAt([][]byte{got}, 0); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{7}, Cluster)) {
		t.Errorf("a write of nothing changed the disk: %v", err)
	}
}

func TestSharedBase(t *testing.T) {
	basePath, want := base(t)
	a, b := open(t, create(t), basePath), open(t, create(t), basePath)
	if err := a.WriteAt([][]byte{make([]byte, 3*Cluster)}, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(contents(t, b), want) {
		t.Error("one overlay's writes are seen through another")
	}
}

func TestOpenRefuses(t *testing.T) {
	basePath, _ := base(t)
	damage := func(f func(b []byte) []byte) string {
		path := create(t)
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, f(b), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := Create(other, diskSize+512); err != nil {
		t.Fatal(err)
	}
	busy := create(t)
	open(t, busy, basePath)
	for _, tt := range []struct{ name, path, want string }{
		{"absent", filepath.Join(t.TempDir(), "none"), "no such file"},
		{"empty", damage(func(b []byte) []byte { return nil }), io.ErrUnexpectedEOF.Error()},
		{"something else", basePath, ""},
		{"header", damage(func(b []byte) []byte { b[offSize]++; return b }), "damaged"},
		{"version", damage(func(b []byte) []byte { b[offVersion]++; return b }), "damaged"},
		{"truncated", damage(func(b []byte) []byte { return b[:len(b)-512] }), "truncated"},
		{"for another base", other, "made for a base"},
		{"in use", busy, "in use"},
	} {
		b, err := file.Open(basePath, file.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(tt.path, b); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if err := Create(busy, diskSize); !errors.Is(err, os.ErrExist) {
		t.Errorf("created over another: %v", err)
	}
}
