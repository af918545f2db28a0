package poll

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func pair(t *testing.T) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	return fds[0], fds[1]
}

func newTest(t *testing.T) *Poller {
	t.Helper()
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestWakesUp(t *testing.T) {
	p := newTest(t)
	a, b := pair(t)
	const token = 0xfeed_0000_beef
	if err := p.Add(a, In|Edge, token); err != nil {
		t.Fatal(err)
	}
	for round := range 3 { // each edge anew, while Wait sleeps and before
		send := func() { unix.Write(b, []byte{1}) }
		if round == 0 {
			send()
		} else {
			time.AfterFunc(5*time.Millisecond, send)
		}
		events, err := p.Wait(time.Now().Add(10 * time.Second))
		if err != nil || len(events) != 1 || events[0].Token != token || events[0].Ready&In == 0 {
			t.Fatalf("round %d: Wait = %v, %v", round, events, err)
		}
	}
}

func TestDeadline(t *testing.T) {
	p := newTest(t)
	a, _ := pair(t)
	if err := p.Add(a, In, 1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if events, err := p.Wait(time.Now().Add(time.Millisecond)); err != nil || len(events) != 0 {
			t.Fatalf("Wait = %v, %v; want nothing", events, err)
		}
	}
}

func TestLook(t *testing.T) {
	p := newTest(t)
	a, b := pair(t)
	if err := p.Add(a, In, 1); err != nil {
		t.Fatal(err)
	}
	if events, err := p.Look(); err != nil || len(events) != 0 {
		t.Fatalf("Look = %v, %v; want nothing", events, err)
	}
	unix.Write(b, []byte{1})
	if events, err := p.Look(); err != nil || len(events) != 1 {
		t.Fatalf("Look = %v, %v; want one event", events, err)
	}
}

func TestHangup(t *testing.T) {
	p := newTest(t)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	if err := p.Add(fds[0], In|Out|Edge, 1); err != nil {
		t.Fatal(err)
	}
	unix.Close(fds[1])
	events, err := p.Wait(time.Now().Add(10 * time.Second))
	if err != nil || len(events) != 1 || events[0].Ready&Hangup == 0 {
		t.Errorf("Wait = %v, %v; want a hang-up", events, err)
	}
}
