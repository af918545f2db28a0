package snapshot

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

const testSize = 32<<20 + 12<<12 // the last chunk isn't whole

// newGuest returns memory with something here and there.
func newGuest() (*memory.Memory, error) {
	m, err := memory.New(testSize)
	if err != nil {
		return nil, err
	}
	for _, at := range []memory.GPA{0, 4095, 1 << 20, 3<<20 - 1, 20 << 20, testSize - 1} {
		err = errors.Join(err, m.WriteAt([]byte{byte(at>>12) | 1}, at))
	}
	return m, errors.Join(err, m.WriteAt([]byte{0}, 8<<20)) // touched, and zero
}

// guest returns newGuest's memory, and all of it.
func guest(t *testing.T) (*memory.Memory, []byte) {
	t.Helper()
	m, err := newGuest()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, bytes.Clone(m.Regions()[0].Bytes)
}

func state() *statev1.Machine {
	return &statev1.Machine{Cpus: []*statev1.CPU{{Id: 7}}, Devices: []*statev1.Device{{Name: "blk0"}}, Acpi: true}
}

// diskContent is zeroes but for a page and the last byte.
func diskContent() []byte {
	b := make([]byte, 2<<20+5)
	copy(b[1<<20:], bytes.Repeat([]byte{3}, pageSize))
	b[len(b)-1] = 4
	return b
}

// save makes a snapshot and returns where it is and what memory it is of.
func save(t *testing.T) (dir string, content []byte) {
	t.Helper()
	m, content := guest(t)
	dir = filepath.Join(t.TempDir(), "snap")
	w, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Memory(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, diskContent(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Copy(t.Context(), "blk0", disk); err != nil {
		t.Fatal(err)
	}
	if err := w.Publish(Manifest{MemoryBytes: testSize, CPUs: 1, Program: "test"}, state()); err != nil {
		t.Fatal(err)
	}
	if err := w.Discard(); err != nil {
		t.Error(err)
	}
	return dir, content
}

func TestSaveAndOpen(t *testing.T) {
	dir, content := save(t)
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !proto.Equal(s.State, state()) || s.Manifest.Program != "test" || s.Manifest.Version != 1 {
		t.Errorf("%v, %+v", s.State, s.Manifest)
	}
	// Six pages with something in them; two of these are in one.
	if want := uint64(5 * pageSize); s.Manifest.StoredBytes != want {
		t.Errorf("%d bytes stored, want %d", s.Manifest.StoredBytes, want)
	}
	if err := s.Verify(); err != nil {
		t.Error(err)
	}
	m, err := s.Memory()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if !bytes.Equal(m.Regions()[0].Bytes, content) {
		t.Error("the memory is another")
	}
	out := filepath.Join(t.TempDir(), "disk")
	if ok, err := s.CopyTo(out, "blk0"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if b, err := os.ReadFile(out); err != nil || !bytes.Equal(b, diskContent()) {
		t.Errorf("the disk is another (%v)", err)
	}
	if ok, _ := s.CopyTo(out, "blk1"); ok {
		t.Error("there is a disk that isn't")
	}
}

// TestSaveOfWhatWasRestored: what was written since and what wasn't are both there,
// and the snapshot that it came from stays as it is.
func TestSaveOfWhatWasRestored(t *testing.T) {
	dir, content := save(t)
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m, err := s.Memory()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, at := range []int{0, 5 << 20, 20 << 20} {
		content[at] = 0x55
		m.Regions()[0].Bytes[at] = 0x55
	}
	content[1<<20] = 0
	m.Regions()[0].Bytes[1<<20] = 0
	again := filepath.Join(t.TempDir(), "again")
	w, err := Create(again)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Memory(t.Context(), m), w.Publish(*s.Manifest, s.State)); err != nil {
		t.Fatal(err)
	}
	second, err := Open(again)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	b, err := os.ReadFile(filepath.Join(again, memoryName))
	if err != nil || !bytes.Equal(b, content) {
		t.Errorf("the memory is another (%v)", err)
	}
	if err := s.Verify(); err != nil {
		t.Errorf("the first one: %v", err)
	}
}

// TestDamage flips a bit in each file, and cuts each: Open names the file.
func TestDamage(t *testing.T) {
	dir, _ := save(t)
	for _, name := range []string{manifestName, stateName, memoryName, memoryName + sumsSuffix, "blk0", "blk0" + sumsSuffix, sumsName} {
		for what, change := range map[string]func([]byte) []byte{
			"first bit": func(b []byte) []byte { b[0] ^= 1; return b },
			"last bit":  func(b []byte) []byte { b[len(b)-1] ^= 0x80; return b },
			"middle":    func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
			"cut":       func(b []byte) []byte { return b[:len(b)-1] },
			"longer":    func(b []byte) []byte { return append(b, 0) },
			"empty":     func([]byte) []byte { return nil },
		} {
			copied := copyDir(t, dir)
			path := filepath.Join(copied, name)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, change(b), 0o600); err != nil {
				t.Fatal(err)
			}
			refused(t, copied, name+", "+what)
		}
		copied := copyDir(t, dir)
		if err := os.Remove(filepath.Join(copied, name)); err != nil {
			t.Fatal(err)
		}
		refused(t, copied, name+", gone")
	}
}

func refused(t *testing.T, dir, what string) {
	t.Helper()
	s, err := Open(dir)
	if err == nil {
		s.Close()
		t.Errorf("%s: it is opened", what)
		return
	}
	var corrupt *CorruptError
	// A damaged SHA256SUMS blames the files it is of.
	name, _, _ := strings.Cut(what, ",")
	if !errors.As(err, &corrupt) || name != sumsName && filepath.Base(corrupt.File) != name {
		t.Errorf("%s: %v", what, err)
	}
	if name == memoryName || name == "blk0" { // and is again
		if s, err := Open(dir); err == nil {
			s.Close()
			t.Errorf("%s: it is opened the second time", what)
		}
	}
}

// TestDamageAfterVerification flips a bit in memory that was read through before.
func TestDamageAfterVerification(t *testing.T) {
	dir, _ := save(t)
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	f, err := os.OpenFile(filepath.Join(dir, memoryName), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte{1}, 9<<20) // in a hole
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	refused(t, dir, memoryName+", a bit in a hole")
}

func copyDir(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestHostsFault has what the host can't do be told from damage, which is deleted.
func TestHostsFault(t *testing.T) {
	dir, _ := save(t)
	d, err := openDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_, small := d.read(manifestName, maxManifest)
	_, large := openLarge(d, memoryName, 0, nil)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	for _, err := range []error{small, large} {
		if !errors.Is(err, unix.EMFILE) || !IsHost(err) || errors.As(err, &corrupt) {
			t.Errorf("no descriptors left: %v", err)
		}
	}
	for name, make := range map[string]func(path string) error{
		"a link":      func(path string) error { return os.Symlink("/dev/null", path) },
		"a FIFO":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		path := d.path(memoryName)
		if err := errors.Join(os.RemoveAll(path), make(path)); err != nil {
			t.Fatal(err)
		}
		if _, err := openLarge(d, memoryName, 0, nil); !errors.As(err, &corrupt) || corrupt.File != path {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLaterVersion(t *testing.T) {
	_, err := decodeManifest([]byte(`{"version": 3, "memoryBytes": "another form"}`))
	var version *VersionError
	if !errors.As(err, &version) || version.Version != 3 {
		t.Errorf("%v", err)
	}
	for _, text := range []string{`{}`, `{"version": 1, "memoryBytes": 5}`, `[]`, ``} {
		if _, err := decodeManifest([]byte(text)); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

// TestNameIsTaken: what is there stays, whether it was there before or came
// meanwhile.
func TestNameIsTaken(t *testing.T) {
	dir, _ := save(t)
	var exists *ExistsError
	if _, err := Create(dir); !errors.As(err, &exists) {
		t.Errorf("%v", err)
	}
	other := filepath.Join(filepath.Dir(dir), "other")
	w, err := Create(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	m, _ := guest(t)
	if err := w.Memory(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if err := w.Publish(Manifest{MemoryBytes: testSize}, state()); !errors.As(err, &exists) {
		t.Errorf("%v", err)
	}
	if err := w.Discard(); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(left) != 2 {
		t.Errorf("%v, %v", left, err)
	}
}

// TestCopyIsWholeOrNot has a copy that somebody was killed at be made anew, and one
// that is there be left alone.
func TestCopyIsWholeOrNot(t *testing.T) {
	dir, _ := save(t)
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(out+".part", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.CopyTo(out, "blk0"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if b, err := os.ReadFile(out); err != nil || !bytes.Equal(b, diskContent()) {
		t.Errorf("the disk is another (%v)", err)
	}
	if err := os.WriteFile(out, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CopyTo(out, "blk0"); err == nil {
		t.Error("a file that is there is no obstacle")
	}
	if b, err := os.ReadFile(out); err != nil || string(b) != "mine" {
		t.Errorf("it has %q (%v)", b, err)
	}
	if isThere(out + ".part") {
		t.Error("half a copy is left")
	}
}

// TestNoFiles has what isn't a file in a file's place: it is refused at once.
func TestNoFiles(t *testing.T) {
	dir, _ := save(t)
	for _, name := range []string{manifestName, stateName, memoryName, sumsName} {
		for what, make := range map[string]func(path string) error{
			"FIFO":      func(path string) error { return unix.Mkfifo(path, 0o600) },
			"link":      func(path string) error { return os.Symlink("/etc/passwd", path) },
			"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		} {
			copied := copyDir(t, dir)
			path := filepath.Join(copied, name)
			if err := errors.Join(os.Remove(path), make(path)); err != nil {
				t.Fatal(err)
			}
			if s, err := Open(copied); err == nil {
				s.Close()
				t.Errorf("a %s for %s is opened", what, name)
			}
		}
	}
}

// TestRead has the manifest of a snapshot be read by itself, and one that isn't what
// was written be refused.
func TestRead(t *testing.T) {
	dir, _ := save(t)
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m, digest, err := Read(dir)
	if err != nil || digest != s.Digest || m.Program != "test" || m.Devices[0].Bytes != uint64(len(diskContent())) {
		t.Errorf("%+v, %s, %v", m, digest, err)
	}
	path := filepath.Join(dir, manifestName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(b, []byte(`"test"`), []byte(`"best"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if _, _, err := Read(dir); !errors.As(err, &corrupt) {
		t.Errorf("%v", err)
	}
}
