package supervise

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// someHome is a directory that nobody but links leads to, and that must stay as
// it is.
type someHome struct{ dir string }

func newHome(t *testing.T) someHome {
	t.Helper()
	h := someHome{t.TempDir()}
	must(t, os.WriteFile(h.dir+"/thesis", []byte("years"), 0o600))
	return h
}

func (h someHome) check(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(h.dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "thesis" {
		t.Errorf("what is outside of the runtime directory is now %v, %v", entries, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestSweepOfAnothersDirectory is the attack of a user who makes the runtime
// directory of another one first: a sweep makes a lock file where a link leads,
// which makes a bundle of that place, and the next one deletes it.
func TestSweepOfAnothersDirectory(t *testing.T) {
	home, root := newHome(t), filepath.Join(t.TempDir(), "bulkhead")
	must(t, os.Mkdir(root, 0o700))
	must(t, os.Chmod(root, 0o777)) // as good as another owner, which takes root
	must(t, os.Symlink(home.dir+"/"+lockName, root+"/"+lockName))
	must(t, os.Symlink(home.dir, root+"/evil"))
	for step := range 2 {
		if err := Sweep(root); err == nil {
			t.Errorf("step %d: swept where everybody can write", step)
		}
		home.check(t)
		os.Remove(root + "/" + lockName)
		must(t, os.WriteFile(root+"/"+lockName, nil, 0o666))
	}
	if _, err := Bundles(root); err == nil {
		t.Error("bundles where everybody can write")
	}
	if _, err := OpenBundle(root, "evil"); err == nil {
		t.Error("a bundle where everybody can write")
	}
}

// TestLinksAreNoBundles has links where bundles, locks and the directory of all
// are looked for.
func TestLinksAreNoBundles(t *testing.T) {
	home, root := newHome(t), t.TempDir()
	must(t, os.Mkdir(home.dir+"/../marked", 0o700))
	marked := someHome{filepath.Clean(home.dir + "/../marked")}
	must(t, os.WriteFile(marked.dir+"/"+lockName, nil, 0o600))
	must(t, os.Symlink(marked.dir, root+"/link"))
	must(t, os.Mkdir(root+"/box", 0o700))
	must(t, os.Symlink(marked.dir+"/"+lockName, root+"/box/"+lockName))
	must(t, Sweep(root))
	if names, err := Bundles(root); err != nil || len(names) != 0 {
		t.Errorf("bundles %v, %v", names, err)
	}
	if _, err := OpenBundle(root, "link"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a link is a bundle")
	}
	if _, err := os.Stat(marked.dir + "/" + lockName); err != nil {
		t.Errorf("a sweep went through a link: %v", err)
	}
	must(t, os.Remove(root+"/"+lockName))
	must(t, os.Symlink(home.dir+"/"+lockName, root+"/"+lockName))
	if _, err := NewBundle(root, "web"); err == nil {
		t.Error("a lock file was made through a link")
	}
	home.check(t)
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(t.TempDir(), link))
	if _, err := NewBundle(link, "web"); err == nil {
		t.Error("the directory of bundles is a link")
	}
}

// TestBundleOfLinks is removed, and what its links lead to stays.
func TestBundleOfLinks(t *testing.T) {
	home, root := newHome(t), t.TempDir()
	b, err := NewBundle(root, "web")
	must(t, err)
	must(t, os.Symlink(home.dir, b.Path("home")))
	must(t, os.Symlink(home.dir+"/thesis", b.Path("thesis")))
	must(t, b.Remove())
	home.check(t)
}

// TestLastWordsOfAnything: the worker's log is whatever the worker makes of it.
func TestLastWordsOfAnything(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/secret", []byte("key\n"), 0o600))
	must(t, os.Symlink(dir+"/secret", dir+"/link"))
	must(t, unix.Mkfifo(dir+"/pipe", 0o600))
	must(t, os.WriteFile(dir+"/log", []byte("why\n"), 0o600))
	told := make(chan struct{})
	go func() {
		defer close(told)
		for name, want := range map[string]string{"link": "", "pipe": "", "none": "", "log": "why"} {
			if got := lastWords(dir + "/" + name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}()
	select {
	case <-told:
	case <-time.After(20 * time.Second):
		t.Fatal("a log that is a pipe is waited for")
	}
}
