package logfile

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestCrash cuts a log off at every byte, as a crash does: readers see the records
// before, and a writer goes on after them.
func TestCrash(t *testing.T) {
	path := newLog(t)
	put(t, Config{Path: path}, "one\n", "two", "\n", "three\n")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"one\n", "two", "\n", "three\n"}
	for n := range len(whole) + 1 {
		writeFile(t, path, string(whole[:n]))
		want := all[:min(len(all), max(0, strings.Count(string(whole[:n]), "\n")-1))] // without the head and the end
		follower := openReader(t, path, Options{Follow: n%5 == 0})
		for range want {
			next(t, follower)
		}
		equal(t, fmt.Sprintf("%d bytes", n), texts(t, path, Options{}), want...)
		put(t, Config{Path: path}, "after\n")
		equal(t, fmt.Sprintf("%d bytes and a record", n), texts(t, path, Options{}), append(want[:len(want):len(want)], "after\n")...)
		if got := next(t, follower); got != "after\n" {
			t.Errorf("%d bytes: a follower reads %q", n, got)
		}
		follower.Close()
	}
}

// TestCrashedRotation has a log whose newest part is missing.
func TestCrashedRotation(t *testing.T) {
	path := newLog(t)
	put(t, Config{Path: path}, "one\n")
	if err := os.Rename(path, older(path)); err != nil {
		t.Fatal(err)
	}
	r := openReader(t, path, Options{Follow: true})
	if got := next(t, r); got != "one\n" {
		t.Errorf("read %q", got)
	}
	put(t, Config{Path: path}, "two\n")
	if got := next(t, r); got != "two\n" {
		t.Errorf("read %q, with no gap", got)
	}
	equal(t, "all", texts(t, path, Options{}), "one\n", "two\n")
}

// TestGarbage appends to what is no log, for want of newlines or of records.
func TestGarbage(t *testing.T) {
	for name, garbage := range map[string]string{
		"zeroes": strings.Repeat("\x00", 3*bufferSize), "short": "x", "lines": strings.Repeat("x\n", bufferSize),
		"a long line": strings.Repeat("x", 2*bufferSize) + "\n", "newlines": strings.Repeat("\n", 100),
	} {
		path := newLog(t)
		writeFile(t, path, garbage)
		put(t, Config{Path: path}, "one\n", "two\n")
		equal(t, name, texts(t, path, Options{}), "one\n", "two\n")
		equal(t, name+", the last line", texts(t, path, Options{Tail: 1}), "two\n")
		equal(t, name+", many lines", texts(t, path, Options{Tail: 1000}), "one\n", "two\n")
	}
}
