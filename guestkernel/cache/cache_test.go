package cache

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func open(t *testing.T) *Cache {
	t.Helper()
	c, err := Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func keyOf(s string) *Key {
	k := &Key{}
	k.AddString("input", s)
	return k
}

func writing(content string) func(Work) error {
	return func(w Work) error {
		return os.WriteFile(filepath.Join(w.Out, "file"), []byte(content), 0o644)
	}
}

func never(t *testing.T) func(Work) error {
	return func(Work) error { t.Error("built again"); return errors.New("built again") }
}

func mustGet(t *testing.T, c *Cache, key *Key, build func(Work) error) string {
	t.Helper()
	dir, err := c.Get("part", key, build)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestGetBuildsOnce(t *testing.T) {
	c := open(t)
	first := mustGet(t, c, keyOf("a"), writing("one"))
	if again := mustGet(t, c, keyOf("a"), never(t)); again != first {
		t.Errorf("second Get = %s, want %s", again, first)
	}
	if other := mustGet(t, c, keyOf("b"), writing("two")); other == first {
		t.Error("another key gave the same entry")
	}
	got, err := os.ReadFile(filepath.Join(first, "file"))
	if err != nil || string(got) != "one" {
		t.Errorf("file = %q, %v", got, err)
	}
}

func TestDamagedEntryIsBuiltAgain(t *testing.T) {
	damage := map[string]func(dir string) error{
		"file removed":     func(dir string) error { return os.Remove(filepath.Join(dir, "file")) },
		"file shortened":   func(dir string) error { return os.Truncate(filepath.Join(dir, "file"), 1) },
		"manifest removed": func(dir string) error { return os.Remove(filepath.Join(dir, manifestName)) },
		"changed in place": func(dir string) error {
			return os.Chtimes(filepath.Join(dir, "file"), time.Now(), time.Now().Add(time.Second))
		},
	}
	for name, harm := range damage {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			dir := mustGet(t, c, keyOf("a"), writing("one"))
			if err := harm(dir); err != nil {
				t.Fatal(err)
			}
			built := false
			mustGet(t, c, keyOf("a"), func(w Work) error { built = true; return writing("one")(w) })
			if !built {
				t.Error("a damaged entry was handed out")
			}
		})
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	c := open(t)
	boom := errors.New("boom")
	_, err := c.Get("part", keyOf("a"), func(w Work) error {
		_ = writing("half")(w)
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatalf("err = %v, want boom", err)
	}
	names := visible(t, filepath.Join(c.Dir(), "part"))
	if len(names) != 1 || names[0] != ".lock" {
		t.Errorf("left behind: %v", names)
	}
	mustGet(t, c, keyOf("a"), writing("whole"))
}

func TestEmptyBuildIsAnError(t *testing.T) {
	if _, err := open(t).Get("part", keyOf("a"), func(Work) error { return nil }); err == nil {
		t.Error("an empty entry was published")
	}
}

func TestLeftoversOfKilledBuildsGo(t *testing.T) {
	c := open(t)
	left := filepath.Join(c.Dir(), "part", buildPrefix+"123", "scratch")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	mustGet(t, c, keyOf("a"), writing("x"))
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("leftover still there: %v", err)
	}
}

func TestSecondBuildWaits(t *testing.T) {
	dir := t.TempDir()
	said := make(chan string, 1)
	first, _ := Open(dir, nil)
	second, _ := Open(dir, func(s string) { said <- s })
	started, finish := make(chan struct{}), make(chan struct{})
	var builds atomic.Int32
	done := make(chan error, 2)
	go func() {
		_, err := first.Get("part", keyOf("a"), func(w Work) error {
			builds.Add(1)
			close(started)
			<-finish
			return writing("x")(w)
		})
		done <- err
	}()
	<-started
	go func() {
		_, err := second.Get("part", keyOf("a"), func(w Work) error { builds.Add(1); return writing("y")(w) })
		done <- err
	}()
	if line := <-said; !strings.Contains(line, "waiting") {
		t.Errorf("said %q", line)
	}
	close(finish)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := builds.Load(); n != 1 {
		t.Errorf("%d builds, want 1", n)
	}
}

func visible(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
