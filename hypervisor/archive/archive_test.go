package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

const testSize = 48<<20 + 3<<12

// save makes a snapshot with something here and there, most of it a hole.
func save(t testing.TB) string {
	t.Helper()
	noise := make([]byte, 300<<10)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	return saveOf(t, noise)
}

// saveOf makes one with that at some places.
func saveOf(t testing.TB, noise []byte) string {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	m, err := memory.New(testSize)
	must(err)
	defer m.Close()
	for _, at := range []memory.GPA{0, 5<<20 - 1, 6 << 20, 20 << 20, testSize - memory.GPA(len(noise))} {
		must(m.WriteAt(noise, at))
	}
	dir := filepath.Join(t.TempDir(), "snap")
	w, err := snapshot.Create(dir)
	must(err)
	must(w.Memory(t.Context(), m))
	disk := filepath.Join(t.TempDir(), "disk")
	must(os.WriteFile(disk, append(make([]byte, 2<<20), 7), 0o600))
	must(w.Copy(t.Context(), "blk0", disk))
	state := &statev1.Machine{Cpus: []*statev1.CPU{{Id: 7}}, Devices: []*statev1.Device{{Name: "blk0"}}}
	must(w.Publish(snapshot.Manifest{MemoryBytes: testSize, Program: "test", Created: time.Unix(1e9, 5).UTC()}, state))
	must(w.Discard())
	return dir
}

func testInfo() Info {
	return Info{Version: infoVersion, Name: "golden", Images: []*Image{{Path: "/x", Digest: "sha256:1", Bytes: 1}, nil}}
}

// scratchIn returns what makes scratch files in a directory, and looks at its end
// whether they are closed.
func scratchIn(dir string) func() (*os.File, error) {
	return func() (*os.File, error) { return os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600) }
}

// export returns the archive of a snapshot.
func export(t testing.TB, dir string, format Format) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(t.Context(), &b, format, Source{Dir: dir, Info: testInfo(), Scratch: scratchIn(t.TempDir())}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var formats = map[string]Format{"oci": OCI, "tar": Plain}

// holes returns where a file has data, and how many bytes it takes on the disk.
func holes(t *testing.T, path string) (data []extent, stored int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	data, err = extents(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return data, st.Blocks * 512
}

// sameFiles fails the test unless two snapshots have the same files, also in where
// they have holes.
func sameFiles(t *testing.T, a, b string) {
	t.Helper()
	sums, err := os.ReadFile(filepath.Join(a, snapshot.SumsName))
	if err != nil {
		t.Fatal(err)
	}
	files, err := snapshot.Listed(sums)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, snapshot.File{Name: snapshot.SumsName}) {
		path, other := filepath.Join(a, file.Name), filepath.Join(b, file.Name)
		x, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.ReadFile(other)
		if err != nil || !bytes.Equal(x, y) {
			t.Errorf("%s is another one: %v", filepath.Base(path), err)
		}
		was, takes := holes(t, path)
		is, took := holes(t, other)
		if !reflect.DeepEqual(was, is) || took > takes+64<<10 {
			t.Errorf("%s has data at %v, and takes %d bytes; it had them at %v, and took %d", filepath.Base(path), is, took, was, takes)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	dir := save(t)
	_, want, err := snapshot.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, format := range formats {
		t.Run(name, func(t *testing.T) {
			b := export(t, dir, format)
			if len(b) > 3<<20 {
				t.Errorf("%d bytes: holes take room", len(b))
			}
			var kept, room int64
			target := t.TempDir()
			path, info, err := Read(t.Context(), bytes.NewReader(b), Target{
				Dir: target, Room: func(n int64) error { room += n; return nil }, Keep: func(n int64) error { kept += n; return nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*info, testInfo()) {
				t.Errorf("info %+v", info)
			}
			if _, digest, err := snapshot.Read(path); err != nil || digest != want {
				t.Errorf("digest %s, %v; it was %s", digest, err, want)
			}
			sameFiles(t, dir, path)
			if kept > 3<<20 || room < kept {
				t.Errorf("%d bytes, of which %d stay", room, kept)
			}
			left, err := os.ReadDir(filepath.Join(target, blobsName))
			if err == nil && len(left) > 0 {
				t.Errorf("blobs are left: %v", left)
			}
			if !bytes.Equal(b, export(t, path, format)) {
				t.Error("what was imported is exported as something else")
			}
		})
	}
}

// TestTarReads has tar read what is written here, with holes.
func TestTarReads(t *testing.T) {
	dir, out := save(t), t.TempDir()
	cmd := exec.Command("tar", "-x", "-C", out)
	cmd.Stdin = bytes.NewReader(export(t, dir, Plain))
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	sameFiles(t, dir, out)
	s, err := snapshot.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// TestManyHoles: more than a list may have.
func TestManyHoles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const step, count = 128 << 10, 3 * maxExtents
	for i := range int64(count) {
		if _, err := f.WriteAt([]byte{byte(i), 1}, i*step); err != nil {
			t.Fatal(err)
		}
	}
	size := int64(count) * step
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	data, err := extents(f, size)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > maxExtents {
		t.Errorf("%d extents", len(data))
	}
	for i := range int64(count) {
		at := i * step
		inside := false
		for len(data) > 0 && data[0].at <= at && !inside {
			if inside = at+2 <= data[0].at+data[0].size; !inside {
				data = data[1:]
			}
		}
		if !inside {
			t.Fatalf("what is at %#x is in no extent", at)
		}
	}
}

// TestSizes has members of all kinds of sizes be read by archive/tar.
func TestSizes(t *testing.T) {
	for _, tt := range []struct {
		size int64
		data []extent
	}{
		{0, nil}, {1, []extent{{0, 1}}}, {512, []extent{{0, 512}}}, {1 << 20, nil}, {1<<20 + 1, []extent{{1 << 20, 1}}},
		{9 << 30, []extent{{0, 4096}, {9<<30 - 5, 5}}}, {1 << 40, []extent{{1 << 39, 4096}}},
	} {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, e := range tt.data {
			if _, err := f.WriteAt(bytes.Repeat([]byte{7}, int(e.size)), e.at); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Truncate(tt.size); err != nil {
			t.Skip("files of this file system are smaller")
		}
		var b bytes.Buffer
		name := strings.Repeat("n", 120)
		if err := writeMember(t.Context(), &b, name, f, time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		b.Write(endOfArchive())
		r := tar.NewReader(&b)
		h, err := r.Next()
		if err != nil || h.Name != name || h.Size != tt.size || h.Typeflag != tar.TypeReg {
			t.Errorf("%d bytes: %+v, %v", tt.size, h, err)
			continue
		}
		if tt.size <= 2<<20 {
			got, err := io.ReadAll(r)
			if want, _ := os.ReadFile(f.Name()); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes: %d others, %v", tt.size, len(got), err)
			}
		}
	}
}

// TestGivenUp has both sides end with their context, and with who reads and writes.
func TestGivenUp(t *testing.T) {
	dir := save(t)
	why := errors.New("given up")
	for name, format := range formats {
		b := export(t, dir, format)
		for _, after := range []int{0, 1000, len(b) / 2, len(b) - 2000} {
			ctx, cancel := context.WithCancelCause(t.Context())
			w := &stopping{after: after, stop: func() error { cancel(why); return nil }}
			if err := Write(ctx, w, format, Source{Dir: dir, Scratch: scratchIn(t.TempDir())}); !errors.Is(err, why) {
				t.Errorf("%s: write, given up after %d of %d bytes: %v", name, after, len(b), err)
			}
			w = &stopping{after: after, stop: func() error { return why }}
			if err := Write(t.Context(), w, format, Source{Dir: dir, Scratch: scratchIn(t.TempDir())}); !errors.Is(err, why) {
				t.Errorf("%s: write, failed after %d bytes: %v", name, after, err)
			}
			r := io.MultiReader(bytes.NewReader(b[:after]), failing{why})
			if _, _, err := Read(t.Context(), r, Target{Dir: t.TempDir()}); !errors.Is(err, why) {
				t.Errorf("%s: read, failed after %d bytes: %v", name, after, err)
			}
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, _, err := Read(ctx, bytes.NewReader(export(t, dir, OCI)), Target{Dir: t.TempDir()}); !errors.Is(err, why) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// stopping takes some bytes.
type stopping struct {
	after int
	stop  func() error
}

func (s *stopping) Write(p []byte) (int, error) {
	if s.after -= len(p); s.after <= 0 {
		if err := s.stop(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// TestNoRoom has there be no room at each step.
func TestNoRoom(t *testing.T) {
	dir := save(t)
	for name, format := range formats {
		b := export(t, dir, format)
		for left := range 60 {
			room := func(int64) error {
				if left--; left < 0 {
					return unix.ENOSPC
				}
				return nil
			}
			_, _, err := Read(t.Context(), bytes.NewReader(b), Target{Dir: t.TempDir(), Room: room})
			if err == nil {
				break
			}
			var bad *Error
			if !errors.Is(err, unix.ENOSPC) || errors.As(err, &bad) {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	err := Write(t.Context(), io.Discard, OCI, Source{Dir: dir, Scratch: scratchIn(t.TempDir()), Room: func(int64) error { return fmt.Errorf("room: %w", unix.ENOSPC) }})
	if !errors.Is(err, unix.ENOSPC) {
		t.Error(err)
	}
}
