package record

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/logfile"
)

func TestRecord(t *testing.T) {
	leaks(t)
	g, s := newGuest(t, ""), new(Set)
	c := g.config(t)
	c.Streams = append(c.Streams, Stream{Socket: g.path, Port: 7, Greeting: "errors\n", Label: "err"})
	conns := g.start(t, s, c)
	if conns[0].greeting == "errors\n" { // they may be taken in any order
		conns[0], conns[1] = conns[1], conns[0]
	}
	out, err := conns[0], conns[1]
	if out.port != 1025 || out.greeting != "hello\n" || err.port != 7 {
		t.Errorf("ports %d and %d, greeting %q", out.port, err.port, out.greeting)
	}
	if b, e := io.ReadAll(out); len(b) != 0 || e != nil {
		t.Errorf("input %q, %v; want none, and its end", b, e)
	}
	io.WriteString(out, "one\ntwo\n$ ")
	err.Close()
	if e := s.Record(t.Context(), c); !errors.Is(e, ErrExists) {
		t.Errorf("a second recorder of the same name: %v", e)
	}
	io.WriteString(out, "three")
	out.Close()
	got := waitLog(t, c.Log.Path)
	equal(t, []string{strings.ReplaceAll(strings.Join(got, ""), "out: ", "")}, "one\ntwo\n$ three")
	waitFree(t, s)
	g.start(t, s, c) // the name is free, and so is the log
}

func TestAwait(t *testing.T) {
	leaks(t)
	g, s := newGuest(t, ""), new(Set)
	if err := s.Await(t.Context(), "nothing"); err != nil {
		t.Error(err)
	}
	c := g.config(t)
	conn := g.start(t, s, c)[0]
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Await(soon, c.Name); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while it is at work: %v", err)
	}
	time.AfterFunc(10*time.Millisecond, func() { io.WriteString(conn, "the last\n"); conn.Close() })
	if err := s.Await(t.Context(), c.Name); err != nil {
		t.Error(err)
	}
	if b := string(g.read(t, c)); !strings.Contains(b, "the last\n") || !strings.HasSuffix(b, "end\n") {
		t.Errorf("the log has %q", b)
	}
	if conn := g.start(t, s, c)[0]; conn.Close() != nil { // the name is free, and so is the log
		t.Error("not connected")
	}
}

// waitFree waits until the set has no recorders.
func waitFree(t *testing.T, s *Set) {
	t.Helper()
	for range 1000 {
		s.mu.Lock()
		n := len(s.recorders) + len(s.making)
		s.mu.Unlock()
		if n == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("recorders are left")
}

func TestRefused(t *testing.T) {
	leaks(t)
	g, refusing, silent, odd := newGuest(t, ""), newGuest(t, "no\n"), newGuest(t, " "), newGuest(t, strings.Repeat("x", 100))
	there := filepath.Join(t.TempDir(), "there")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*Config)
		want   error // nil: any
	}{
		"no name":          {func(c *Config) { c.Name = "" }, ErrInvalid},
		"a long name":      {func(c *Config) { c.Name = strings.Repeat("x", 256) }, ErrInvalid},
		"no streams":       {func(c *Config) { c.Streams = nil }, ErrInvalid},
		"many streams":     {func(c *Config) { c.Streams = make([]Stream, 17) }, ErrInvalid},
		"two words":        {func(c *Config) { c.Streams[0].Label = "two words" }, ErrInvalid},
		"the log's label":  {func(c *Config) { c.Streams[0].Label = logfile.Own }, ErrInvalid},
		"a long greeting":  {func(c *Config) { c.Streams[0].Greeting = strings.Repeat("x", 5000) }, ErrInvalid},
		"no log":           {func(c *Config) { c.Log.Path = "" }, ErrInvalid},
		"a negative log":   {func(c *Config) { c.Log.MaxBytes = -1 }, ErrInvalid},
		"no such socket":   {func(c *Config) { c.Streams[0].Socket += "x" }, ErrUnreachable},
		"a refusing guest": {func(c *Config) { c.Streams[0].Socket = refusing.path }, ErrUnreachable},
		"a silent guest":   {func(c *Config) { c.Streams[0].Socket = silent.path }, ErrUnreachable},
		"an odd guest":     {func(c *Config) { c.Streams[0].Socket = odd.path }, ErrUnreachable},
		"the second":       {func(c *Config) { c.Streams = append(c.Streams, Stream{Label: "x", Socket: "/none"}) }, ErrUnreachable},
		"a bad log":        {func(c *Config) { c.Log.Path = "/none/log" }, nil},
		"a bad input":      {func(c *Config) { c.Input = there }, nil},
		"a long input":     {func(c *Config) { c.Input = "/tmp/" + strings.Repeat("x", 108) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			s, c := new(Set), g.config(t)
			defer s.Close()
			tt.change(&c)
			if err := s.Record(ctx, c); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			waitFree(t, s)
		})
	}
}

// TestClose has the machine end while recorders are at work, being made, and yet to
// come.
func TestClose(t *testing.T) {
	leaks(t)
	g, silent, s := newGuest(t, ""), newGuest(t, " "), new(Set)
	c := g.config(t)
	c.Input = filepath.Join(t.TempDir(), "input")
	conn := g.start(t, s, c)[0]
	io.WriteString(conn, "the last words\n")
	late := g.config(t)
	late.Name, late.Streams[0].Socket = "late", silent.path
	refused := make(chan error)
	go func() { refused <- s.Record(t.Context(), late) }()
	for made := false; !made; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		made = len(s.making) > 0
		s.mu.Unlock()
	}
	s.Refuse()
	if err := <-refused; !errors.Is(err, ErrClosed) {
		t.Errorf("a recorder in making: %v", err)
	}
	start := time.Now()
	time.AfterFunc(50*time.Millisecond, func() { io.WriteString(conn, "and more\n"); conn.Close() })
	s.Close()
	if d := time.Since(start); d > drainTime {
		t.Errorf("it took %v", d)
	}
	equal(t, waitLog(t, c.Log.Path), "out: the last words\n", "out: and more\n")
	if err := s.Record(t.Context(), g.config(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := os.Stat(c.Input); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the input socket is left: %v", err)
	}
}

// TestCloseByForce has a machine that doesn't let go of its streams.
func TestCloseByForce(t *testing.T) {
	leaks(t)
	g, s := newGuest(t, ""), new(Set)
	c := g.config(t)
	io.WriteString(g.start(t, s, c)[0], "x\n")
	s.Close()
	equal(t, waitLog(t, c.Log.Path), "out: x\n")
}
