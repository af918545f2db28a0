package streams

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// link is a link and its host's connection.
func (h host) link(id string) (*Link, *net.UnixConn) {
	h.t.Helper()
	c := h.stream(id, Stdio)
	l, err := h.Links(h.t.Context(), id, Stdio)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { l[0].Close() })
	return l[0], c
}

// returns waits for what is done elsewhere.
func returns[T any](t testing.TB, do func() T) func() T {
	t.Helper()
	done := make(chan T, 1)
	go func() { done <- do() }()
	return func() (v T) {
		t.Helper()
		select {
		case v = <-done:
		case <-time.After(5 * time.Second):
			t.Fatal("it doesn't return")
		}
		return v
	}
}

// ends are the ways in which a link's connection can be missed.
var ends = map[string]func(l *Link) bool{
	"read": func(l *Link) bool { _, err := l.Read(make([]byte, 1)); return err != nil },
	"write": func(l *Link) bool {
		for range 1000 {
			if _, err := l.Write([]byte("x")); err != nil {
				return true
			}
			time.Sleep(time.Millisecond)
		}
		return false
	},
	"gone":     (*Link).Gone,
	"waitgone": (*Link).WaitGone,
	"watch": func(l *Link) bool {
		w, err := l.Watch()
		if err != nil {
			return false
		}
		defer w.Close()
		return w.Wait()
	},
}

func eachEnd(t *testing.T, do func(t *testing.T, h host, end func(l *Link) bool)) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) { do(t, serve(t), end) })
	}
}

// stillWaits fails the test if the function has returned.
func stillWaits(t testing.TB, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
		t.Error("it doesn't wait for another connection")
	case <-time.After(20 * time.Millisecond):
	}
}

func TestLinkEndsWithItsConnection(t *testing.T) {
	eachEnd(t, func(t *testing.T, h host, end func(l *Link) bool) {
		l, c := h.link("p")
		c.Close()
		if !returns(t, func() bool { return end(l) })() {
			t.Error("the host isn't gone")
		}
	})
}

// TestReleaseIsTheEnd: a connection that broke in a hold is a host that has gone,
// and not one to be waited for in the next hold.
func TestReleaseIsTheEnd(t *testing.T) {
	eachEnd(t, func(t *testing.T, h host, end func(l *Link) bool) {
		l, c := h.link("p")
		h.Hold()
		h.Hold()
		c.Close()
		done := make(chan struct{})
		wait := returns(t, func() bool { defer close(done); return end(l) })
		stillWaits(t, done)
		h.Release()
		h.Hold()
		if !wait() {
			t.Error("the host isn't gone")
		}
	})
}

func TestRenewIsTheEndAfterAWhile(t *testing.T) {
	eachEnd(t, func(t *testing.T, h host, end func(l *Link) bool) {
		l, c := h.link("p")
		h.Hold()
		c.Close()
		done := make(chan struct{})
		wait := returns(t, func() bool { defer close(done); return end(l) })
		h.Renew(60 * time.Millisecond)
		h.Release() // ends no more than Hold
		stillWaits(t, done)
		if !wait() {
			t.Error("the host isn't gone")
		}
		h.stream("p", Stdio) // too late
		h.settle(1)
	})
}

// TestCloseEndsLink ends what waits for another connection.
func TestCloseEndsLink(t *testing.T) {
	eachEnd(t, func(t *testing.T, h host, end func(l *Link) bool) {
		l, c := h.link("p")
		h.Hold()
		c.Close()
		done := make(chan struct{})
		wait := returns(t, func() bool { defer close(done); return end(l) })
		stillWaits(t, done)
		l.Close()
		wait()
		if len(h.links) != 0 {
			t.Errorf("%d links are left", len(h.links))
		}
	})
}

func TestWatchCloseEndsItsWait(t *testing.T) {
	h := serve(t)
	l, c := h.link("p")
	w, err := l.Watch()
	if err != nil {
		t.Fatal(err)
	}
	h.Hold()
	c.Close()
	wait := returns(t, w.Wait)
	time.Sleep(5 * time.Millisecond)
	w.Close()
	if wait() {
		t.Error("the host is gone by a close here")
	}
}

// TestLinkGoesOn has hosts come and go while the machine is frozen, and after.
func TestLinkGoesOn(t *testing.T) {
	h := serve(t)
	l, c := h.link("p")
	w, err := l.Watch()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	gone := make(chan struct{})
	go func() { defer close(gone); w.Wait() }()

	c.Write([]byte("a"))
	expect := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(l, got); err != nil || string(got) != want {
			t.Errorf("read %q, %v; want %q", got, err, want)
		}
	}
	expect("a")
	h.Hold()
	for i, renew := range []bool{false, true, true} {
		if i == 2 { // frozen anew, within the time that Renew gives
			h.Hold()
		}
		c.Close()
		if renew {
			h.Renew(time.Minute)
		}
		next := returns(t, func() string {
			b := make([]byte, 3)
			io.ReadFull(l, b)
			return string(b)
		})
		c = h.connect(headerMagic + " p " + Stdio + "\nrest")
		if got := next(); got != "res" {
			t.Errorf("%q came", got)
		}
		expect("t")
		if _, err := l.Write([]byte("out")); err != nil {
			t.Error(err)
		}
		got := make([]byte, 3)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "out" {
			t.Errorf("the host read %q, %v", got, err)
		}
	}
	stillWaits(t, gone)
	// The host that came after Renew has no successor.
	c.Close()
	returns(t, func() bool { <-gone; return true })()
	if _, err := l.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read = %v", err)
	}
	h.settlePlaces(0)
}

// TestNobodyNeedsToNotice has a link that nobody uses while its connection breaks,
// as the standard error of a silent process.
func TestNobodyNeedsToNotice(t *testing.T) {
	h := serve(t)
	l, c := h.link("p")
	h.Hold()
	c.Close()
	c = h.stream("p", Stdio)
	h.Renew(50 * time.Millisecond)
	for deadline := time.Now().Add(5 * time.Second); l.lastHold() == nil && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(60 * time.Millisecond)
	if _, err := l.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

// TestWriteIsNeitherCutNorDoubled has a host that stops reading, and another.
func TestWriteIsNeitherCutNorDoubled(t *testing.T) {
	h := serve(t)
	l, c := h.link("p")
	want := make([]byte, 4<<20)
	for i := range want {
		want[i] = byte(i * 31 >> 3)
	}
	wrote := returns(t, func() error {
		_, err := l.Write(want)
		l.CloseWrite()
		return err
	})
	got := make([]byte, 1<<20)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	h.Hold()
	time.Sleep(20 * time.Millisecond) // it is stuck
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	// What has left the guest is the first host's.
	unread := unreadBytes(t, raw)
	c.Close()
	sent := len(got) + unread
	rest, err := io.ReadAll(h.stream("p", Stdio))
	if err != nil || !bytes.Equal(rest, want[sent:]) {
		t.Errorf("%d bytes came to the second host, %v; want %d", len(rest), err, len(want)-sent)
	}
	if err := wrote(); err != nil {
		t.Error(err)
	}
}

// TestHalfCloseAndDeadlineAreTheNextConnectionsToo: a process that has ended is seen
// to have by the next host.
func TestHalfCloseAndDeadlineAreTheNextConnectionsToo(t *testing.T) {
	h := serve(t)
	l, c := h.link("p")
	h.Hold()
	l.CloseWrite()
	l.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	c.Close()
	c = h.stream("p", Stdio)
	read := returns(t, func() error { _, err := l.Read(make([]byte, 1)); return err })
	closedWrite := returns(t, func() error { _, err := c.Read(make([]byte, 1)); return err })
	if err := closedWrite(); err != io.EOF {
		t.Errorf("the host's Read = %v", err)
	}
	if err := read(); err == nil {
		t.Error("the deadline is gone")
	}
}

// TestNoSecondConnection: in a hold, the connection that works stays.
func TestNoSecondConnection(t *testing.T) {
	h := serve(t)
	l, c := h.link("p")
	h.Hold()
	h.stream("p", Stdio)
	h.settle(1)
	if _, err := l.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}
