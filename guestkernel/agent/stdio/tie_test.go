package stdio

import (
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// tied opens plumbing that counts how often the host let go.
func tied(t *testing.T, r Request) (*plumbing, *atomic.Int32) {
	var gone atomic.Int32
	r.Gone = func() { gone.Add(1) }
	return open(t, r), &gone
}

// noTies waits until no goroutine is left that watches a host.
func noTies(t *testing.T) {
	t.Helper()
	buf := make([]byte, 1<<20)
	for range 2000 {
		if !strings.Contains(string(buf[:runtime.Stack(buf, true)]), "(*tie).run") {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("a goroutine is left behind")
}

func TestTie(t *testing.T) {
	tests := []struct {
		name    string
		request Request
	}{
		{"no input", Request{}},
		{"input", Request{Stdin: true}},
		{"terminal", Request{Terminal: &Size{24, 80}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, gone := tied(t, tt.request)
			send(t, p.proc[1], "out")
			expect(t, p.host, "out")
			p.host.CloseWrite()
			time.Sleep(10 * time.Millisecond)
			if n := gone.Load(); n != 0 {
				t.Fatalf("gone %d times by a half-close", n)
			}
			p.host.Close()
			noTies(t)
			if n := gone.Load(); n != 1 {
				t.Errorf("gone %d times, want once", n)
			}
			p.exit()
			p.End()
		})
	}
}

// TestTieWithStuckInput has a process that doesn't read what the host sends.
func TestTieWithStuckInput(t *testing.T) {
	p, gone := tied(t, Request{Stdin: true})
	_ = p.host.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := p.host.Write(make([]byte, 4<<20)); err == nil {
		t.Fatal("4 MiB went into a pipe that nobody reads")
	}
	p.host.Close()
	noTies(t)
	if n := gone.Load(); n != 1 {
		t.Errorf("gone %d times, want once", n)
	}
	p.exit()
	p.End()
}

// TestTieOutlivesOutput has a process that closes its output and goes on.
func TestTieOutlivesOutput(t *testing.T) {
	p, gone := tied(t, Request{Stdin: true})
	send(t, p.proc[1], "last words")
	p.proc[1].Close()
	expect(t, p.host, "last words")
	p.host.CloseWrite()
	time.Sleep(10 * time.Millisecond)
	if n := gone.Load(); n != 0 {
		t.Errorf("gone %d times by the end of the output", n)
	}
	p.exit()
	p.End()
	noTies(t)
	expectEOF(t, p.host)
	p.host.Close()
	p.hostErr.Close()
	p.waitDone(t)
	if n := gone.Load(); n != 0 {
		t.Errorf("gone %d times after the end", n)
	}
}

func TestAbortCutsTheTie(t *testing.T) {
	h := serve(t)
	c := h.stream("p", "stdio")
	h.stream("p", "stderr")
	p, err := Open(t.Context(), h.Hub, Request{ID: "p", Gone: func() { t.Error("gone") }})
	if err != nil {
		t.Fatal(err)
	}
	p.Abort()
	closed(t, c)
}
