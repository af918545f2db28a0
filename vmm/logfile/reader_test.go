package logfile

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestLinksAreNotRead: who writes a log can put links in its place.
func TestLinksAreNotRead(t *testing.T) {
	secret, path := newLog(t), newLog(t)
	put(t, Config{Path: secret}, "key\n")
	for _, name := range []string{path, older(path)} {
		if err := os.Symlink(secret, name); err != nil {
			t.Fatal(err)
		}
		if r, err := NewReader(path, Options{}); err == nil {
			r.Close()
			t.Errorf("%s is read through a link", name)
		}
		os.Remove(name)
	}
}

func TestSince(t *testing.T) {
	path := newLog(t)
	var b []byte
	for i := range 5 {
		b = appendRecord(b, testTime.Add(time.Duration(i)), "out", fmt.Appendf(nil, "%d\n", i))
	}
	writeFile(t, path, string(b))
	for i := range 6 {
		got := texts(t, path, Options{Since: testTime.Add(time.Duration(i))})
		equal(t, fmt.Sprintf("since %d", i), got, []string{"0\n", "1\n", "2\n", "3\n", "4\n"}[i:]...)
	}
	equal(t, "since 2, the last 4", texts(t, path, Options{Since: testTime.Add(2), Tail: 4}), "2\n", "3\n", "4\n")
}

// TestTail compares with counting from the front.
func TestTail(t *testing.T) {
	long := strings.Repeat("x", maxContent-1)
	for name, lines := range map[string][]string{
		"none":       nil,
		"lines":      {"1\n", "2\n", "3\n", "4\n", "5\n"},
		"pieces":     {"a", "b", "c\n", "d\n", "e", "f\n"},
		"unfinished": {"a\n", "b\n", "$ ", "l"},
		"long":       {long + "\n", long + "\n", long, long, long + "\n", "short\n", long + "\n"},
		"short":      strings.SplitAfter(strings.Repeat("\n", 300), "\n"),
	} {
		for _, max := range []int64{0, 100, 400, 50 << 10} {
			path := newLog(t)
			put(t, Config{Path: path, MaxBytes: max}, lines...)
			all := texts(t, path, Options{})
			for _, n := range []int{-1, 1, 2, 3, 4, 5, 6, 1000, 1 << 40} {
				equal(t, fmt.Sprintf("%s in parts of %d, the last %d", name, max, n), texts(t, path, Options{Tail: n}), lastLines(all, n)...)
			}
		}
	}
}

func lastLines(all []string, n int) []string {
	at := len(all)
	for lines := 0; at > 0; at-- {
		if strings.HasSuffix(all[at-1], "\n") || at == len(all) {
			if lines++; lines > n {
				break
			}
		}
	}
	return all[at:]
}

func TestReaderRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := NewReader(dir, Options{}); err == nil {
		t.Error("a directory is read")
	}
	if got := texts(t, dir+"/none", Options{Tail: 3}); len(got) != 0 {
		t.Errorf("a log that isn't there has %q", got)
	}
}
