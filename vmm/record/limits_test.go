package record

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/logfile"
)

func TestTooMany(t *testing.T) {
	leaks(t)
	g, s := newGuest(t, ""), new(Set)
	defer s.hangUp()
	for i := range maxRecorders {
		c := g.config(t)
		c.Name = fmt.Sprint(i)
		g.start(t, s, c)
	}
	if err := s.Record(t.Context(), g.config(t)); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	s.hangUp()
	waitFree(t, s)
	g.start(t, s, g.config(t))
}

// TestFlood has a guest that sends without end: the log stays within its size.
func TestFlood(t *testing.T) {
	leaks(t)
	g, s := newGuest(t, ""), new(Set)
	c := g.config(t)
	c.Log.MaxBytes = 100 << 10
	conn := g.start(t, s, c)[0]
	line := []byte(strings.Repeat("x", 50<<10)) // without any newline
	for range 200 {
		if _, err := conn.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	waitFree(t, s)
	for path, least := range map[string]int64{c.Log.Path: 1, c.Log.Path + ".1": c.Log.MaxBytes / 2} {
		if info, err := os.Stat(path); err != nil || info.Size() > c.Log.MaxBytes || info.Size() < least {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}

// TestFullLog has a log that takes nothing: the guest goes on all the same, and
// the host hears of it once.
func TestFullLog(t *testing.T) {
	leaks(t)
	g, s := newGuest(t, ""), new(Set)
	c := g.config(t)
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	warnings := 0
	c.Log = logfile.Config{Path: filepath.Join(dir, "log"), MaxBytes: 1000, Warn: func(error) {
		mu.Lock()
		defer mu.Unlock()
		warnings++
	}}
	conn := g.start(t, s, c)[0]
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := io.WriteString(conn, strings.Repeat("x", 10_000)+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	waitFree(t, s)
	mu.Lock()
	defer mu.Unlock()
	if warnings != 1 {
		t.Errorf("%d warnings, want 1", warnings)
	}
}
