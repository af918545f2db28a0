package main

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestParsePlace(t *testing.T) {
	for arg, want := range map[string]place{
		"box:/etc": {"box", "/etc"}, "box:etc": {"box", "/etc"}, "box:": {"box", "/"}, "./a:b": {"", "./a:b"}, "/a:b": {"", "/a:b"},
		":x": {"", ":x"}, "file": {"", "file"}, "-": {"", "-"},
	} {
		if got := parsePlace(arg); got != want {
			t.Errorf("%s: %v, want %v", arg, got, want)
		}
	}
}

// TestNameIn: no name leads out of the directory that a copy goes to.
func TestNameIn(t *testing.T) {
	for given, want := range map[string]string{
		"/a/b": "b", "/a/b/": "b", "/a/b/.": "", "/a/b/./": "", "/a/b/..": "a", "/a/..": "", "/": "", "/.": "", "/..": "", "/a/../../..": "",
	} {
		if got := nameIn(given, path.Clean(given)); got != want || strings.Contains(got, "/") {
			t.Errorf("%s: %q, want %q", given, got, want)
		}
	}
	t.Chdir(t.TempDir())
	full, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if got := nameIn("..", full); got != filepath.Base(full) {
		t.Errorf("..: %q", got)
	}
}

// TestReplaceable: a copy takes the place of files and links only.
func TestReplaceable(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.WriteFile(at("file"), nil, 0o600), os.Symlink("/dev/null", at("link")), os.Mkdir(at("dir"), 0o700), syscall.Mkfifo(at("pipe"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, may := range map[string]bool{"file": true, "link": true, "nothing": true, "dir": false, "pipe": false} {
		err := removeEarlier(at(name))
		if (err == nil) != may {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Lstat(at(name)); (err == nil) == may {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat("/dev/null"); err != nil {
		t.Error(err)
	}
}
