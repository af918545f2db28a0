package filesystem

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

func modeOf(t *testing.T, p string) uint32 {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(p, &st))
	return st.Mode & permissions
}

func TestMakeDir(t *testing.T) {
	dir := menagerie(t)
	for _, mode := range []uint32{0o755, 0o700, 0o777, 0o1777, 0o2775, 0} {
		p := dir + "/new"
		must(t, MakeDir(p, mode, false))
		if got := modeOf(t, p); got != mode {
			t.Errorf("mode is %#o, want %#o", got, mode)
		}
		must(t, os.Remove(p))
	}
	wantKind(t, "again", MakeDir(dir+"/dir", 0o755, false), fail.Exists)
	wantKind(t, "over a file", MakeDir(dir+"/file", 0o755, false), fail.Exists)
	wantKind(t, "the root", MakeDir("/", 0o755, false), fail.Exists)
	wantKind(t, "nowhere", MakeDir(dir+"/no/such", 0o755, false), fail.NotFound)
	wantKind(t, "bad mode", MakeDir(dir+"/new", 0o10000, false), fail.Invalid)
}

func TestMakeDirWithParents(t *testing.T) {
	dir := menagerie(t)
	must(t, MakeDir(dir+"/a/b//c/", 0o1777, true), MakeDir(dir+"/a/b/c", 0o700, true),
		MakeDir(dir+"/dirlink/d/e", 0o700, true), MakeDir("/", 0o700, true), MakeDir(dir+"/m/../n", 0o700, true))
	for p, want := range map[string]uint32{"a": 0o755, "a/b": 0o755, "a/b/c": 0o1777, "dir/d/e": 0o700, "m": 0o755, "n": 0o700} {
		if got := modeOf(t, dir+"/"+p); got != want {
			t.Errorf("mode of %s is %#o, want %#o", p, got, want)
		}
	}
	wantKind(t, "over a file", MakeDir(dir+"/file", 0o755, true), fail.Untimely)
	wantKind(t, "under a file", MakeDir(dir+"/file/x/y", 0o755, true), fail.Untimely)
	wantKind(t, "over a dangling link", MakeDir(dir+"/dangling", 0o755, true), fail.NotFound)
	wantKind(t, "in a loop", MakeDir(dir+"/loop/x", 0o755, true), fail.Invalid)
}
