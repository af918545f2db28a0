package filesystem

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// TestMain has the agent's umask.
func TestMain(m *testing.M) {
	unix.Umask(0o022)
	os.Exit(m.Run())
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, what string, err error, want fail.Kind) {
	t.Helper()
	if err == nil || fail.KindOf(err) != want {
		t.Errorf("%s: error %v of kind %d, want %d", what, err, fail.KindOf(err), want)
	}
}

// needRoot skips what only root may do.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}

// menagerie makes a directory with a file of each kind.
func menagerie(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	must(t,
		os.WriteFile(in("file"), []byte("12345"), 0o640), unix.Chmod(in("file"), 0o4750),
		os.Mkdir(in("dir"), 0o755), os.WriteFile(in("dir/inner"), nil, 0o600),
		os.Symlink("file", in("link")), os.Symlink("no-such", in("dangling")),
		os.Symlink("dir", in("dirlink")), os.Symlink("loop", in("loop")),
		unix.Mkfifo(in("fifo"), 0o600))
	return dir
}

func TestStat(t *testing.T) {
	dir := menagerie(t)
	tests := []struct {
		name   string
		mode   uint32
		target string
	}{
		{"file", unix.S_IFREG | 0o4750, ""},
		{"dir", unix.S_IFDIR | 0o755, ""},
		{"link", unix.S_IFLNK | 0o777, "file"},
		{"dangling", unix.S_IFLNK | 0o777, "no-such"},
		{"fifo", unix.S_IFIFO | 0o600, ""},
		{"dirlink/inner", unix.S_IFREG | 0o600, ""},
	}
	for _, tt := range tests {
		got, err := Stat(dir + "/" + tt.name)
		if err != nil || got.Name != filepath.Base(tt.name) || got.Mode != tt.mode || got.Target != tt.target || got.ModifyTime == 0 {
			t.Errorf("Stat(%s) = %+v, %v", tt.name, got, err)
		}
	}
	if info, err := Stat(dir + "/file"); err != nil || info.Size != 5 || info.UID != uint32(os.Getuid()) {
		t.Errorf("Stat = %+v, %v", info, err)
	}
	if info, err := Stat("/"); err != nil || info.Name != "/" {
		t.Errorf("Stat(/) = %+v, %v", info, err)
	}
	_, err := Stat(dir + "/no-such")
	wantKind(t, "nothing", err, fail.NotFound)
	_, err = Stat(dir + "/file/x")
	wantKind(t, "under a file", err, fail.Untimely)
}

func TestPathsThatCanNotBe(t *testing.T) {
	for _, p := range []string{"", "etc/passwd", "./x", "/a\x00b", "/" + strings.Repeat("x/", 2100), "/tmp/" + strings.Repeat("x", 300)} {
		_, err := Stat(p)
		wantKind(t, "Stat "+p, err, fail.Invalid)
		_, err = NewDraft(p, Attributes{}, false)
		wantKind(t, "NewDraft "+p, err, fail.Invalid)
		_, err = Open(p, 0)
		wantKind(t, "Open "+p, err, fail.Invalid)
		_, _, err = ReadDir(p, "", 0)
		wantKind(t, "ReadDir "+p, err, fail.Invalid)
		wantKind(t, "MakeDir "+p, MakeDir(p, 0o755, false), fail.Invalid)
		wantKind(t, "MakeDir with parents "+p, MakeDir(p, 0o755, true), fail.Invalid)
		wantKind(t, "Symlink "+p, Symlink(p, "x"), fail.Invalid)
		wantKind(t, "Remove "+p, Remove(p, false), fail.Invalid)
		wantKind(t, "Remove all of "+p, Remove(p, true), fail.Invalid)
	}
}

func TestSymlink(t *testing.T) {
	dir := menagerie(t)
	must(t, Symlink(dir+"/new", "../some where"))
	if got, err := os.Readlink(dir + "/new"); err != nil || got != "../some where" {
		t.Errorf("the link says %q, %v", got, err)
	}
	wantKind(t, "again", Symlink(dir+"/new", "x"), fail.Exists)
	wantKind(t, "nowhere", Symlink(dir+"/no-such/new", "x"), fail.NotFound)
	for _, target := range []string{"", "a\x00b", strings.Repeat("x", 4096)} {
		wantKind(t, fmt.Sprintf("%.10q", target), Symlink(dir+"/other", target), fail.Invalid)
	}
}

func TestRemove(t *testing.T) {
	dir := menagerie(t)
	for _, name := range []string{"link", "dirlink", "fifo", "dangling", "file"} {
		if err := Remove(dir+"/"+name, name == "dirlink"); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(dir + "/" + name); !os.IsNotExist(err) {
			t.Errorf("%s is still there", name)
		}
	}
	wantKind(t, "full directory", Remove(dir+"/dir", false), fail.Untimely)
	for _, recursive := range []bool{false, true} {
		wantKind(t, "nothing", Remove(dir+"/no-such", recursive), fail.NotFound)
		for _, root := range []string{"/", "//", "/.", "/tmp/.."} {
			wantKind(t, root, Remove(root, recursive), fail.Invalid)
		}
	}
	must(t, Remove(dir+"/dir", true), os.Mkdir(dir+"/empty", 0o755), Remove(dir+"/empty/", false))
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "loop" {
		t.Errorf("%v is left, %v", left, err)
	}
}
