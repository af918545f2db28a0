package logfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func newLog(t testing.TB) string { return filepath.Join(t.TempDir(), "log") }

func openWriter(t testing.TB, c Config) *Writer {
	t.Helper()
	w, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func openStream(t testing.TB, w *Writer, label string) io.Writer {
	t.Helper()
	s, err := w.Stream(label)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put writes lines to a log of their own, "out", and closes it.
func put(t testing.TB, c Config, lines ...string) {
	t.Helper()
	w := openWriter(t, c)
	s := openStream(t, w, "out")
	for _, line := range lines {
		io.WriteString(s, line)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func openReader(t testing.TB, path string, o Options) *Reader {
	t.Helper()
	r, err := NewReader(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// texts reads a log to its end: the data of its records, marked where there are
// gaps.
func texts(t testing.TB, path string, o Options) (all []string) {
	t.Helper()
	return rest(t, openReader(t, path, o))
}

func rest(t testing.TB, r *Reader) (all []string) {
	t.Helper()
	for {
		record, err := r.Next(context.Background())
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if !record.End() {
			all = append(all, text(record))
		}
	}
}

func text(r Record) string {
	s := string(r.Data)
	if r.Label != "out" {
		s = r.Label + ": " + s
	}
	if r.Gap {
		s = "GAP " + s
	}
	return s
}

// next returns the next record of a log that is followed.
func next(t testing.TB, r *Reader) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		record, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !record.End() {
			return text(record)
		}
	}
}

// raw returns what is in the parts of a log, the older first, without their heads.
func raw(t testing.TB, path string) (all []byte) {
	t.Helper()
	for _, path := range []string{older(path), path} {
		b, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			r, ok := parse(line, "")
			if _, head := headNumber(&r); !ok || !head && !r.End() {
				all = append(all, line...)
			}
		}
	}
	return all
}

func equal(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %q, want %q", what, got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: %q, want %q", what, got, want)
			return
		}
	}
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
