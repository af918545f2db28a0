package filesystem

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

var longName = strings.Repeat("n", 300)

func TestOpen(t *testing.T) {
	dir := menagerie(t)
	for _, tt := range []struct {
		p      string
		offset uint64
		want   string
	}{
		{dir + "/file", 0, "12345"},
		{dir + "/link", 3, "45"},
		{dir + "/file", 5, ""},
		{dir + "/file", 1 << 40, ""},
	} {
		f, err := Open(tt.p, tt.offset)
		must(t, err)
		if b, err := io.ReadAll(f); err != nil || string(b) != tt.want {
			t.Errorf("%s from %d on: %q, %v", tt.p, tt.offset, b, err)
		}
		f.Close()
	}
	// A file of /proc has no size.
	f, err := Open("/proc/self/status", 6)
	must(t, err)
	defer f.Close()
	want, _ := os.ReadFile("/proc/self/comm")
	if b, err := io.ReadAll(f); err != nil || !strings.HasPrefix(string(b), strings.TrimSpace(string(want))+"\n") {
		t.Errorf("%q, %v", b, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := menagerie(t)
	l, err := net.Listen("unix", dir+"/socket")
	must(t, err)
	defer l.Close()
	for p, want := range map[string]fail.Kind{
		dir:                  fail.Untimely,
		dir + "/fifo":        fail.Untimely,
		dir + "/socket":      fail.Untimely,
		"/dev/zero":          fail.Untimely,
		"/dev/tty":           fail.Untimely,
		dir + "/file/x":      fail.Untimely,
		dir + "/dangling":    fail.NotFound,
		dir + "/loop":        fail.Invalid,
		dir + "/" + longName: fail.Invalid,
	} {
		_, err := Open(p, 0)
		wantKind(t, p, err, want)
	}
	_, err = Open(dir+"/file", 1<<63)
	wantKind(t, "offset", err, fail.Invalid)
}

func TestDenied(t *testing.T) {
	needRoot(t)
	// Even root may not change these.
	_, err := NewDraft("/proc/new", Attributes{}, false)
	if k := fail.KindOf(err); err == nil || k != fail.Denied && k != fail.NotFound {
		t.Errorf("a new file in /proc: %v", err)
	}
	wantKind(t, "remove of /proc/1", Remove("/proc/1", false), fail.Denied)
}
