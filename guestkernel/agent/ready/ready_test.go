package ready

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// host answers Dial with the agent's end of a pipe.
type host struct {
	dials atomic.Int32
	calls atomic.Int32
	conns chan net.Conn
	// refuse is how many dials fail.
	refuse int32
}

func (h *host) dial(context.Context) (net.Conn, error) {
	if h.dials.Add(1) <= h.refuse {
		return nil, errors.New("nobody listens")
	}
	a, b := net.Pipe()
	h.conns <- b
	return a, nil
}

func (h *host) announcer() *Announcer {
	h.conns = make(chan net.Conn, 1)
	return &Announcer{Dial: h.dial, Calls: func() int { return int(h.calls.Load()) }}
}

func run(t *testing.T, a *Announcer) <-chan struct{} {
	done := make(chan struct{})
	go func() { defer close(done); a.Run(t.Context()) }()
	return done
}

func wait(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("Run goes on")
	}
}

func expectLine(t *testing.T, c net.Conn) {
	t.Helper()
	if line, err := bufio.NewReader(c).ReadString('\n'); line != Line {
		t.Errorf("read %q, %v", line, err)
	}
}

func TestRun(t *testing.T) {
	h := &host{refuse: 3}
	done := run(t, h.announcer())
	c := <-h.conns
	expectLine(t, c)
	select {
	case <-done:
		t.Error("the connection wasn't kept")
	case <-time.After(10 * time.Millisecond):
	}
	c.Close()
	wait(t, done)
	if n := h.dials.Load(); n != 4 {
		t.Errorf("%d dials, want 4", n)
	}
}

func TestHostThatCalledNeedsNoTelling(t *testing.T) {
	h := &host{refuse: 1 << 30}
	done := run(t, h.announcer())
	time.Sleep(30 * time.Millisecond)
	h.calls.Add(1)
	wait(t, done)
}

func TestBrokenConnectionIsAnnouncedAgain(t *testing.T) {
	h := &host{}
	h.calls.Store(0)
	a := h.announcer()
	dial := a.Dial
	a.Dial = func(ctx context.Context) (net.Conn, error) {
		c, err := dial(ctx)
		return breaking{c}, err
	}
	run(t, a)
	for i := range 3 {
		c := <-h.conns
		h.calls.Store(int32(i)) // the host called before it broke
		expectLine(t, c)
		c.Close()
	}
}

// breaking ends with a reset instead of end of file.
type breaking struct{ net.Conn }

func (c breaking) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		err = errors.New("reset")
	}
	return n, err
}
