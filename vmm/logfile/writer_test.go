package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWriter(t *testing.T) {
	path := newLog(t)
	w := openWriter(t, Config{Path: path})
	out, err := openStream(t, w, "out"), openStream(t, w, "err")
	io.WriteString(out, "one\ntwo\n$ ")
	io.WriteString(err, "oops\n")
	io.WriteString(out, "ls\n")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(out, "too late\n")
	equal(t, "records", texts(t, path, Options{}), "one\n", "two\n", "$ ", "err: oops\n", "ls\n")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	put(t, Config{Path: path}, "later\n")
	equal(t, "records of two writers", texts(t, path, Options{Tail: 2}), "ls\n", "later\n")
	if b, err := os.ReadFile(path); err != nil || bytes.Count(b, []byte("Z log F end\n")) != 2 {
		t.Errorf("the ends of two writers aren't told: %q, %v", b, err)
	}
	w = openWriter(t, Config{Path: path}) // nobody can have written to it
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || bytes.Count(b, []byte("Z log F end\n")) != 2 {
		t.Errorf("the end of a writer without streams is told: %q, %v", b, err)
	}
	if _, err := w.Stream("two words"); err == nil {
		t.Error("a label of two words")
	}
}

// TestTwoWriters has the second refused while the first is there.
func TestTwoWriters(t *testing.T) {
	path := newLog(t)
	w := openWriter(t, Config{Path: path, MaxBytes: 100})
	if _, err := Open(Config{Path: path}); err == nil || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("a second writer: %v", err)
	}
	s := openStream(t, w, "out")
	for i := range 10 {
		fmt.Fprintf(s, "%d%s\n", i, strings.Repeat("x", 50))
	}
	for !bytes.Contains(raw(t, path), []byte(" 9xx")) {
		time.Sleep(time.Millisecond)
	}
	if _, err := Open(Config{Path: path}); err == nil {
		t.Error("a second writer after a rotation")
	}
	w.Close()
	openWriter(t, Config{Path: path})
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{{}, {Path: dir}, {Path: dir + "/pipe"}, {Path: dir + "/none/log"}, {Path: dir + "/log", MaxBytes: -1}} {
		if _, err := Open(c); err == nil {
			t.Errorf("%+v was opened", c)
		}
	}
}

// TestRotation holds parts to their size, and to whole lines.
func TestRotation(t *testing.T) {
	path := newLog(t)
	w := openWriter(t, Config{Path: path, MaxBytes: 1000})
	var streams sync.WaitGroup
	for label := range 4 {
		s := openStream(t, w, fmt.Sprintf("s%d", label))
		streams.Go(func() {
			for i := range 200 {
				fmt.Fprintf(s, "%d %s\n", i, strings.Repeat("x", i%90))
			}
		})
	}
	streams.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, older(path)} {
		b, err := os.ReadFile(path)
		if err != nil || len(b) > 1000 || len(b) < 100 {
			t.Errorf("%s has %d bytes, %v", path, len(b), err)
		}
		for line := range bytes.Lines(b) {
			if _, ok := parse(line, ""); !ok {
				t.Errorf("%s has a line %q", path, line)
			}
		}
	}
	entries, err := os.ReadDir(strings.TrimSuffix(path, "/log"))
	if err != nil || len(entries) != 2 {
		t.Errorf("files %v, %v", entries, err)
	}
}

// TestLongLine has a part with room for less than one record.
func TestLongLine(t *testing.T) {
	path := newLog(t)
	put(t, Config{Path: path, MaxBytes: 10}, "one\n", strings.Repeat("x", 2*maxContent)+"\n")
	if got := texts(t, path, Options{}); len(got) != 2 || len(got[0])+len(got[1]) != 2*maxContent+1 {
		t.Errorf("%d records", len(got))
	}
}

// TestStuck has a disk that takes nothing: streams wait a while and go on, and
// the log says what it lacks.
func TestStuck(t *testing.T) {
	path := newLog(t)
	var warned []error
	w := newWriter(Config{Warn: func(err error) { warned = append(warned, err) }})
	w.wait = 20 * time.Millisecond
	s := openStream(t, w, "out")
	start := time.Now()
	const n = 100
	for i := range n {
		fmt.Fprintf(s, "%d%s\n", i, strings.Repeat("x", maxContent-10))
	}
	if d := time.Since(start); d < w.wait || d > 5*time.Second {
		t.Errorf("the stream waited for %v", d)
	}
	if err := w.Close(); err == nil {
		t.Error("nothing is said of lines that nobody took")
	}
	if len(w.pending) > maxPending {
		t.Errorf("%d bytes are pending", len(w.pending))
	}
	go w.run(&sink{path: path, max: 1 << 30})
	<-w.done
	got := texts(t, path, Options{})
	if len(got) < 2 || len(warned) != 1 || !errors.Is(warned[0], errSlow) {
		t.Fatalf("%d records, warnings %v", len(got), warned)
	}
	want := fmt.Sprintf("%s: %d lines are lost: %v\n", Own, n-len(got)+1, errSlow)
	if !strings.HasPrefix(got[0], "0xxx") && got[0] != want {
		t.Errorf("the first record is %.60q, want %q", got[0], want)
	}
}
