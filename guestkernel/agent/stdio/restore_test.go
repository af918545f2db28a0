package stdio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

// restore has another host take the streams up, as in a machine that was restored.
func (p *plumbing) restore() {
	p.hub.Hold()
	p.hangUp()
	time.Sleep(10 * time.Millisecond) // for who looks to see it
	p.hub.Renew(time.Minute)
	p.host = p.hub.stream("p", streams.Stdio)
	if p.hostErr != nil {
		p.hostErr = p.hub.stream("p", streams.Stderr)
	}
}

func TestRestoredPipes(t *testing.T) {
	p, gone := tied(t, Request{Stdin: true})
	send(t, p.host, "in")
	expect(t, p.proc[0], "in")
	for range 2 {
		p.restore()
		send(t, p.proc[1], "out")
		send(t, p.proc[2], "err")
		expect(t, p.host, "out")
		expect(t, p.hostErr, "err")
		send(t, p.host, "more")
		expect(t, p.proc[0], "more")
	}
	p.host.CloseWrite()
	expectEOF(t, p.proc[0])
	send(t, p.proc[1], "last")
	p.exit()
	p.End()
	expect(t, p.host, "last")
	expectEOF(t, p.host)
	expectEOF(t, p.hostErr)
	p.hangUp()
	p.waitDone(t)
	noTies(t)
	if n := gone.Load(); n != 0 {
		t.Errorf("gone %d times", n)
	}
}

// TestRestoredAfterTheInput: a host that had nothing to send half-closed its
// connection, which isn't what breaks now.
func TestRestoredAfterTheInput(t *testing.T) {
	for _, r := range []Request{{}, {Stdin: true}, {Terminal: &Size{24, 80}}} {
		p, gone := tied(t, r)
		p.host.CloseWrite()
		time.Sleep(10 * time.Millisecond)
		p.restore()
		send(t, p.proc[1], "out")
		expect(t, p.host, "out")
		if n := gone.Load(); n != 0 {
			t.Errorf("%+v: gone %d times", r, n)
		}
		p.host.Close() // and this one isn't followed
		noTies(t)
		if n := gone.Load(); n != 1 {
			t.Errorf("%+v: gone %d times, want once", r, n)
		}
		p.exit()
		p.End()
	}
}

func TestRestoredTerminal(t *testing.T) {
	p := open(t, Request{Terminal: &Size{24, 80}})
	send(t, p.host, "one\n")
	expect(t, p.proc[0], "one\n")
	expect(t, p.host, "one\r\n")
	p.restore()
	send(t, p.host, "two\n")
	expect(t, p.proc[0], "two\n")
	expect(t, p.host, "two\r\n")
	if err := p.Resize(Size{10, 10}); err != nil {
		t.Error(err)
	}
	p.host.Close()
	hungUp(t, p)
}

// TestThawedWithoutHost is the machine that was saved, whose host went meanwhile.
func TestThawedWithoutHost(t *testing.T) {
	p, gone := tied(t, Request{Terminal: &Size{24, 80}})
	p.hub.Hold()
	p.hangUp()
	time.Sleep(20 * time.Millisecond)
	if _, err := unix.IoctlGetTermios(int(p.proc[0].Fd()), unix.TCGETS); err != nil || gone.Load() != 0 {
		t.Errorf("the terminal is hung up while it is frozen: %v", err)
	}
	p.hub.Release()
	hungUp(t, p)
	noTies(t)
	if n := gone.Load(); n != 1 {
		t.Errorf("gone %d times, want once", n)
	}
	p.exit()
	p.End()
}

func TestRestoredWithoutHost(t *testing.T) {
	p, gone := tied(t, Request{Stdin: true})
	p.hub.Hold()
	p.hangUp()
	p.hub.Renew(30 * time.Millisecond)
	send(t, p.proc[1], "for nobody")
	time.Sleep(10 * time.Millisecond)
	noTies(t)
	expectEOF(t, p.proc[0])
	var err error
	for range 1000 {
		if _, err = p.proc[1].Write([]byte("x")); err != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if !errors.Is(err, unix.EPIPE) || gone.Load() != 1 {
		t.Errorf("write to nobody: %v; gone %d times", err, gone.Load())
	}
	p.exit()
	p.End()
	p.waitDone(t)
}

// TestEndedBeforeTheRestore has a process end that had no host, with output that
// nobody had taken.
func TestEndedBeforeTheRestore(t *testing.T) {
	p := open(t, Request{})
	p.hub.Hold()
	p.hangUp()
	time.Sleep(10 * time.Millisecond)
	send(t, p.proc[1], "last words")
	p.exit()
	p.End()
	p.restore()
	expect(t, p.host, "last words")
	expectEOF(t, p.host)
	p.hangUp()
	p.waitDone(t)
}

func TestFlush(t *testing.T) {
	for _, r := range []Request{{}, {Terminal: &Size{24, 80}}} {
		p := open(t, r)
		for range 20 {
			send(t, p.proc[1], "some words")
			if err := p.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			// The host has it, and needn't wait.
			_ = p.host.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			got := make([]byte, len("some words"))
			if _, err := io.ReadFull(p.host, got); err != nil || string(got) != "some words" {
				t.Fatalf("read %q, %v", got, err)
			}
		}
		p.exit()
		p.End()
		p.hangUp()
		p.waitDone(t)
		if err := p.Flush(t.Context()); err != nil {
			t.Errorf("Flush after the end: %v", err)
		}
	}
}

// TestFlushWithSlowHost leaves what a host doesn't take, which another gets.
func TestFlushWithSlowHost(t *testing.T) {
	p := open(t, Request{})
	want := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	wrote := make(chan error, 1)
	go func() {
		_, err := p.proc[1].Write(want)
		wrote <- err
	}()
	time.Sleep(20 * time.Millisecond) // all is full
	ctx, cancel := contextWithin(t, 50*time.Millisecond)
	defer cancel()
	if err := p.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Flush = %v", err)
	}
	head := make([]byte, 100<<10)
	if _, err := io.ReadFull(p.host, head); err != nil {
		t.Fatal(err)
	}
	p.hub.Hold()
	time.Sleep(20 * time.Millisecond)
	raw, err := p.host.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	sent := len(head)
	_ = raw.Control(func(fd uintptr) {
		n, _ := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
		sent += n
	})
	p.hangUp()
	p.host = p.hub.stream("p", streams.Stdio)
	p.hub.Renew(time.Minute)
	got := make([]byte, len(want)-sent)
	if _, err := io.ReadFull(p.host, got); err != nil || !bytes.Equal(got, want[sent:]) {
		t.Errorf("the rest isn't what was left: %v", err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}
