package filesystem

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// list reads a whole directory page by page.
func list(t *testing.T, dir string, limit uint32) (names []string, pages int) {
	t.Helper()
	after := ""
	for more := true; more; pages++ {
		var files []Info
		var err error
		if files, more, err = ReadDir(dir, after, limit); err != nil {
			t.Fatal(err)
		}
		if limit > 0 && len(files) > int(limit) || len(files) > MaxPage || more && len(files) == 0 {
			t.Fatalf("a page of %d files, more: %v", len(files), more)
		}
		for _, f := range files {
			names = append(names, f.Name)
			after = f.Name
		}
	}
	return names, pages
}

func TestReadDir(t *testing.T) {
	dir := menagerie(t)
	want := []string{"dangling", "dir", "dirlink", "fifo", "file", "link", "loop"}
	for _, limit := range []uint32{0, 1, 2, 6, 7, 1 << 31} {
		if got, _ := list(t, dir, limit); !slices.Equal(got, want) {
			t.Errorf("%d at a time: %q, want %q", limit, got, want)
		}
	}
	files, more, err := ReadDir(dir+"/dirlink/../", "fifo", 2)
	if err != nil || !more || len(files) != 2 || files[0].Name != "file" || files[0].Size != 5 || files[1].Target != "file" {
		t.Errorf("ReadDir = %+v, %v, %v", files, more, err)
	}
	if files, more, err := ReadDir(dir, "zzz", 0); len(files) != 0 || more || err != nil {
		t.Errorf("behind the last: %+v, %v, %v", files, more, err)
	}
	for name, want := range map[string]fail.Kind{"file": fail.Untimely, "fifo": fail.Untimely, "no-such": fail.NotFound, "loop": fail.Invalid} {
		_, _, err := ReadDir(dir+"/"+name, "", 0)
		wantKind(t, name, err, want)
	}
}

func TestReadDirOfMany(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for i := range 2*MaxPage + 1 {
		want = append(want, fmt.Sprintf("%x", i*i))
		must(t, os.WriteFile(dir+"/"+want[i], nil, 0o600))
	}
	slices.Sort(want)
	for limit, pages := range map[uint32]int{0: 3, 7: 286} {
		if got, n := list(t, dir, limit); !slices.Equal(got, want) || n != pages {
			t.Errorf("%d files on %d pages, want %d on %d", len(got), n, len(want), pages)
		}
	}
}

// TestReadDirFitsAMessage has names and targets as long as may be.
func TestReadDirFitsAMessage(t *testing.T) {
	dir := t.TempDir()
	const count = 1000
	for i := range count {
		must(t, os.Symlink(strings.Repeat("t", 4000), fmt.Sprintf("%s/%0250d", dir, i)))
	}
	files, more, err := ReadDir(dir, "", 0)
	size := 0
	for _, f := range files {
		size += len(f.Name) + len(f.Target)
	}
	if err != nil || !more || size > 3<<20 || size < 1<<20 {
		t.Errorf("%d bytes of text, more: %v, %v", size, more, err)
	}
	if got, _ := list(t, dir, 0); len(got) != count {
		t.Errorf("%d files, want %d", len(got), count)
	}
}

// TestNamesOfAnyBytes: the kernel doesn't care for UTF-8, messages do.
func TestNamesOfAnyBytes(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/a\xff\xfeb", nil, 0o600), os.Symlink("\xff", dir+"/b"), os.WriteFile(dir+"/ü", nil, 0o600))
	want := []string{"a\uFFFDb", "b", "ü"}
	for _, limit := range []uint32{0, 1} {
		if got, _ := list(t, dir, limit); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if info, err := Stat(dir + "/b"); err != nil || info.Target != "\uFFFD" {
		t.Errorf("Stat = %+v, %v", info, err)
	}
}
