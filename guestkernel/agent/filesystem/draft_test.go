package filesystem

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// write writes a file as the host does.
func write(t *testing.T, p, content string, a Attributes, parents bool) Info {
	t.Helper()
	d, err := NewDraft(p, a, parents)
	must(t, err)
	defer d.Discard()
	_, err = d.Write([]byte(content))
	must(t, err)
	info, err := d.Commit()
	must(t, err)
	return info
}

func content(t *testing.T, p string) string {
	t.Helper()
	b, err := os.ReadFile(p)
	must(t, err)
	return string(b)
}

// noTemps fails if something in dir is left of a write.
func noTemps(t *testing.T, dir string) {
	t.Helper()
	if left, err := filepath.Glob(dir + "/" + TempPattern); err != nil || len(left) > 0 {
		t.Errorf("%q is left, %v", left, err)
	}
}

func TestDraft(t *testing.T) {
	dir := menagerie(t)
	info := write(t, dir+"/new", "content", Attributes{}, false)
	if info.Name != "new" || info.Mode != unix.S_IFREG|0o644 || info.Size != 7 || info.ModifyTime == 0 {
		t.Errorf("a new file is %+v", info)
	}
	if got := content(t, dir+"/new"); got != "content" {
		t.Errorf("a new file holds %q", got)
	}
	if info := write(t, dir+"/a/b/c", "", Attributes{}, true); info.Name != "c" || modeOf(t, dir+"/a/b") != 0o755 {
		t.Errorf("with parents: %+v", info)
	}
	noTemps(t, dir)
}

func TestDraftKeepsWhatItReplaces(t *testing.T) {
	needRoot(t)
	dir := menagerie(t)
	must(t, os.Chown(dir+"/file", 12, 34), os.Chmod(dir+"/file", 0o640|os.ModeSetuid))
	info := write(t, dir+"/file", "x", Attributes{}, false)
	if info.Mode != unix.S_IFREG|0o4640 || info.UID != 12 || info.GID != 34 {
		t.Errorf("kept is %+v", info)
	}
	mode, gid := uint32(0o2711), uint32(56)
	info = write(t, dir+"/file", "y", Attributes{Mode: &mode, GID: &gid}, false)
	if info.Mode != unix.S_IFREG|0o2711 || info.UID != 12 || info.GID != 56 {
		t.Errorf("asked for is %+v", info)
	}
	if now, err := Stat(dir + "/file"); err != nil || now != info {
		t.Errorf("now it is %+v, %v; said was %+v", now, err, info)
	}
}

func TestDraftFollowsLinks(t *testing.T) {
	dir := menagerie(t)
	must(t, os.Symlink(dir+"/dirlink/far", dir+"/dir/chain"), os.Symlink("dirlink/chain", dir+"/start"))
	for link, place := range map[string]string{"link": "file", "dangling": "no-such", "start": "dir/far"} {
		before, err := os.Readlink(dir + "/" + link)
		must(t, err)
		if info := write(t, dir+"/"+link, "by "+link, Attributes{}, false); info.Name != link {
			t.Errorf("%s is called %s", link, info.Name)
		}
		after, err := os.Readlink(dir + "/" + link)
		if err != nil || after != before {
			t.Errorf("%s says %q, %v; before %q", link, after, err, before)
		}
		if got := content(t, dir+"/"+place); got != "by "+link {
			t.Errorf("%s holds %q", place, got)
		}
	}
	noTemps(t, dir)
	noTemps(t, dir+"/dir")
}

func TestDraftRefuses(t *testing.T) {
	dir := menagerie(t)
	tests := []struct {
		p    string
		want fail.Kind
	}{
		{dir + "/dir", fail.Untimely},
		{dir + "/dirlink", fail.Untimely},
		{dir + "/dir/", fail.Untimely},
		{dir + "/new/", fail.Untimely},
		{dir + "/dir/..", fail.Untimely},
		{"/", fail.Untimely},
		{dir + "/fifo", fail.Untimely},
		{"/dev/null", fail.Untimely},
		{dir + "/loop", fail.Invalid},
		{dir + "/file/x", fail.Untimely},
		{dir + "/no-such/x", fail.NotFound},
		{"/proc/sys/x/y", fail.NotFound},
	}
	for _, tt := range tests {
		d, err := NewDraft(tt.p, Attributes{}, false)
		wantKind(t, tt.p, err, tt.want)
		if err == nil {
			d.Discard()
		}
	}
	none, much := uint32(1<<32-1), uint32(0o10000)
	for _, a := range []Attributes{{UID: &none}, {GID: &none}, {Mode: &much}} {
		_, err := NewDraft(dir+"/x", a, false)
		wantKind(t, "attributes", err, fail.Invalid)
	}
	noTemps(t, dir)
}

func TestDiscardLeavesNothing(t *testing.T) {
	dir := menagerie(t)
	d, err := NewDraft(dir+"/a/b/c", Attributes{}, true)
	must(t, err)
	d.Write([]byte("x"))
	d.Discard()
	d.Discard()
	if _, err := os.Lstat(dir + "/a"); !os.IsNotExist(err) {
		t.Errorf("the directory that was made is left: %v", err)
	}
	d, err = NewDraft(dir+"/a/b/c", Attributes{}, true)
	must(t, err, os.WriteFile(dir+"/a/other", nil, 0o600))
	d.Discard()
	if _, err := os.Lstat(dir + "/a/other"); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(dir + "/a/b"); !os.IsNotExist(err) {
		t.Errorf("the directory that was made is left: %v", err)
	}
	// Directories can be made, and then something can't.
	_, err = NewDraft(dir+"/x/y/"+longName, Attributes{}, true)
	wantKind(t, "a long name", err, fail.Invalid)
	_, err = NewDraft(dir+"/x/y/"+longName+"/z", Attributes{}, true)
	wantKind(t, "a long name above", err, fail.Invalid)
	if _, err := os.Lstat(dir + "/x"); !os.IsNotExist(err) {
		t.Errorf("the directory that was made is left: %v", err)
	}
}

// TestCommitFails has a directory come in the way.
func TestCommitFails(t *testing.T) {
	dir := menagerie(t)
	d, err := NewDraft(dir+"/new", Attributes{}, false)
	must(t, err, os.Mkdir(dir+"/new", 0o755))
	_, err = d.Commit()
	wantKind(t, "Commit", err, fail.Untimely)
	noTemps(t, dir)
}

func TestDraftOnAFullDisk(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tiny", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, 0) })
	must(t, os.WriteFile(dir+"/file", []byte("old"), 0o600))
	d, err := NewDraft(dir+"/file", Attributes{}, false)
	must(t, err)
	for err == nil {
		_, err = d.Write(make([]byte, 16<<10))
	}
	wantKind(t, "Write", err, fail.Exhausted)
	d.Discard()
	noTemps(t, dir)
	must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	_, err = NewDraft(dir+"/file", Attributes{}, false)
	wantKind(t, "NewDraft on a disk that can't be changed", err, fail.Denied)
	if got := content(t, dir+"/file"); got != "old" {
		t.Errorf("the file holds %q", got)
	}
}
