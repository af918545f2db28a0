package streams

import (
	"io"
	"testing"
	"time"
)

func TestGone(t *testing.T) {
	host, c := pair(t)
	s := newLink(NewHub(), key{}, &Stream{Conn: c})
	if s.Gone() {
		t.Error("the host is gone before it went")
	}
	host.CloseWrite()
	if _, err := s.Read(make([]byte, 1)); err != io.EOF || s.Gone() {
		t.Errorf("the host is gone by a half-close, %v", err)
	}
	time.AfterFunc(5*time.Millisecond, func() { host.Close() })
	if !s.WaitGone() || !s.Gone() {
		t.Error("the host isn't gone after it went")
	}
}

func TestCloseEndsWaitGone(t *testing.T) {
	_, c := pair(t)
	for _, s := range []interface {
		WaitGone() bool
		Close() error
	}{&Stream{Conn: c}, newLink(NewHub(), key{}, &Stream{Conn: c})} {
		time.AfterFunc(5*time.Millisecond, func() { s.Close() })
		if s.WaitGone() {
			t.Error("the host is gone by a close here")
		}
	}
}

// TestWatchBesideReader has a reader wait on the same connection, and bytes
// that nobody reads.
func TestWatchBesideReader(t *testing.T) {
	for _, unread := range []int{0, 1 << 10} {
		host, c := pair(t)
		s := newLink(NewHub(), key{}, &Stream{Conn: c})
		w, err := s.Watch()
		if err != nil {
			t.Fatal(err)
		}
		gone := make(chan bool, 1)
		go func() { gone <- w.Wait() }()
		if unread == 0 {
			go io.Copy(io.Discard, s)
			host.Write([]byte("x"))
		}
		host.Write(make([]byte, unread))
		host.CloseWrite()
		select {
		case <-gone:
			t.Error("the watch ended by a half-close")
		case <-time.After(10 * time.Millisecond):
		}
		host.Close()
		if !<-gone {
			t.Error("the host went, and Wait says it didn't")
		}
		w.Close()
	}
}

func TestCloseEndsWatch(t *testing.T) {
	host, c := pair(t)
	s := newLink(NewHub(), key{}, &Stream{Conn: c})
	w, err := s.Watch()
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(5*time.Millisecond, func() { w.Close() })
	if w.Wait() {
		t.Error("the host is gone by a close here")
	}
	if _, err := host.Write([]byte("x")); err != nil {
		t.Errorf("the stream isn't as it was: %v", err)
	}
	if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
		t.Errorf("the stream isn't as it was: %v", err)
	}
}
