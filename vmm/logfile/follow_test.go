package logfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"
)

func TestFollow(t *testing.T) {
	path := newLog(t)
	r := openReader(t, path, Options{Follow: true})
	soon, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := r.Next(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a log: %v", err)
	}
	w := openWriter(t, Config{Path: path, MaxBytes: 400})
	s := openStream(t, w, "out")
	for i := range 50 { // over several parts
		line := fmt.Sprintf("line %d\n", i)
		io.WriteString(s, line)
		if got := next(t, r); got != line {
			t.Fatalf("read %q, want %q", got, line)
		}
	}
}

// TestFollowPromptly has a follower hear of a line in less than it would take to
// look for it again.
func TestFollowPromptly(t *testing.T) {
	path := newLog(t)
	w := openWriter(t, Config{Path: path})
	s := openStream(t, w, "out")
	r := openReader(t, path, Options{Follow: true, Tail: -1})
	if !r.watch.watching {
		t.Skip("NOT TESTED: no inotify here")
	}
	for range 5 {
		time.AfterFunc(5*time.Millisecond, func() { io.WriteString(s, "x\n") })
		start := time.Now()
		next(t, r)
		if d := time.Since(start); d > pollTime {
			t.Errorf("heard of it after %v", d)
		}
	}
}

// TestManyFollowers has more followers than may have a watch: all hear of a line,
// and one that ends leaves its watch to another.
func TestManyFollowers(t *testing.T) {
	path := newLog(t)
	s := openStream(t, openWriter(t, Config{Path: path}), "out")
	few := NewWatches(2)
	var readers []*Reader
	for range 5 {
		readers = append(readers, openReader(t, path, Options{Follow: true, Watches: few}))
	}
	instances := 0
	for _, r := range readers {
		if r.watch.f != nil {
			instances++
		}
	}
	if instances > 2 {
		t.Errorf("%d followers have inotify instances", instances)
	}
	io.WriteString(s, "x\n")
	for _, r := range readers {
		if got := next(t, r); got != "x\n" {
			t.Errorf("read %q", got)
		}
	}
	had := readers[0].watch.f != nil // there may be no inotify at all
	readers[0].Close()
	if r := openReader(t, path, Options{Follow: true, Watches: few}); had && r.watch.f == nil {
		t.Error("a follower that ended keeps its watch")
	}
}

// TestFollowWithoutInotify looks again and again.
func TestFollowWithoutInotify(t *testing.T) {
	path := newLog(t)
	w := openWriter(t, Config{Path: path, MaxBytes: 400})
	s := openStream(t, w, "out")
	r := openReader(t, path, Options{Follow: true})
	r.watch.close()
	r.watch = &watch{done: r.watch.done}
	for i := range 10 {
		line := fmt.Sprintf("line %d\n", i)
		time.AfterFunc(5*time.Millisecond, func() { io.WriteString(s, line) })
		if got := next(t, r); got != line {
			t.Fatalf("read %q, want %q", got, line)
		}
	}
}

// TestRotatedAtTheEnd has a log written to and rotated after a follower has come to
// its end, and before it looks whether it was rotated.
func TestRotatedAtTheEnd(t *testing.T) {
	path := newLog(t)
	put(t, Config{Path: path}, "one\n")
	r := openReader(t, path, Options{Follow: true})
	next(t, r)
	for {
		if _, err := r.line(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	put(t, Config{Path: path}, "two\n")
	put(t, Config{Path: path, MaxBytes: 1}, "three\n", "four\n")
	if more, err := r.advance(); !more || err != nil {
		t.Fatal(more, err)
	}
	equal(t, "records", []string{next(t, r), next(t, r), next(t, r)}, "two\n", "three\n", "four\n")
}

// TestDone ends a follower after the last record, however late it comes to it.
func TestDone(t *testing.T) {
	path := newLog(t)
	done := make(chan struct{})
	slow := openReader(t, path, Options{Follow: true, Done: done})
	waiting := openReader(t, path, Options{Follow: true, Done: done})
	ended := make(chan []string)
	go func() { ended <- rest(t, waiting) }()
	put(t, Config{Path: path, MaxBytes: 100}, "one\n", "two\n")
	close(done)
	equal(t, "a slow follower", rest(t, slow), "one\n", "two\n")
	equal(t, "a waiting follower", <-ended, "one\n", "two\n")
}

// TestGap has a follower that sleeps over so many rotations.
func TestGap(t *testing.T) {
	for rotations, want := range []string{"next\n", "0\n", "0\n", "GAP 1\n", "GAP 2\n"} {
		path := newLog(t)
		c := Config{Path: path, MaxBytes: 100}
		put(t, c, "first\n")
		r := openReader(t, path, Options{Follow: true})
		next(t, r)
		for i := range rotations {
			put(t, c, fmt.Sprintf("%d\n", i))
		}
		if rotations == 0 {
			put(t, Config{Path: path}, "next\n")
		}
		if got := next(t, r); got != want {
			t.Errorf("after %d rotations: %q, want %q", rotations, got, want)
		}
		if rotations > 1 {
			if got, want := next(t, r), fmt.Sprintf("%d\n", rotations-1); got != want {
				t.Errorf("after %d rotations, then: %q, want %q", rotations, got, want)
			}
		}
	}
}

// TestMeddling does to a log what its writer doesn't.
func TestMeddling(t *testing.T) {
	path := newLog(t)
	put(t, Config{Path: path}, "one\n", "two\n")
	r := openReader(t, path, Options{Follow: true})
	next(t, r)
	next(t, r)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	put(t, Config{Path: path}, "3\n")
	if got := next(t, r); got != "GAP 3\n" {
		t.Errorf("cut to nothing: %q", got)
	}
	if err := errors.Join(os.Rename(path, path+".2"), os.Rename(path+".2", path)); err != nil {
		t.Fatal(err)
	}
	put(t, Config{Path: path}, "four\n")
	if got := next(t, r); got != "four\n" {
		t.Errorf("moved and moved back: %q", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	put(t, Config{Path: path}, "five\n")
	if got := next(t, r); got != "GAP five\n" {
		t.Errorf("removed: %q", got)
	}
}
