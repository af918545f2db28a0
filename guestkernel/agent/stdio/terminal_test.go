package stdio

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func contextWithin(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

func TestTerminal(t *testing.T) {
	p := open(t, Request{Terminal: &Size{Rows: 24, Columns: 80}})
	send(t, p.host, "hi\n")
	expect(t, p.proc[0], "hi\n")
	expect(t, p.host, "hi\r\n") // the echo
	send(t, p.proc[1], "out\n")
	expect(t, p.host, "out\r\n")
	send(t, p.proc[2], "err\n")
	expect(t, p.host, "err\r\n")
	for _, size := range []Size{{24, 80}, {50, 132}} {
		if err := p.Resize(size); err != nil {
			t.Error(err)
		}
		ws, err := unix.IoctlGetWinsize(int(p.proc[0].Fd()), unix.TIOCGWINSZ)
		if err != nil || uint32(ws.Row) != size.Rows || uint32(ws.Col) != size.Columns {
			t.Errorf("size is %+v, %v; want %v", ws, err, size)
		}
	}
	send(t, p.proc[1], "last")
	p.exit()
	expect(t, p.host, "last")
	expectEOF(t, p.host)
	p.End()
	p.host.Close()
	p.waitDone(t)
	if err := p.Resize(Size{1, 1}); err == nil {
		t.Error("a closed terminal was resized")
	}
}

func TestTerminalHalfCloseTypesEOF(t *testing.T) {
	for _, typed := range []string{"", "whole line\n", "unfinished"} {
		p := open(t, Request{Terminal: &Size{24, 80}})
		send(t, p.host, typed)
		p.host.CloseWrite()
		if typed != "" {
			expect(t, p.proc[0], typed)
		}
		expectEOF(t, p.proc[0])
		send(t, p.proc[1], "\nstill here")
		_ = p.host.SetReadDeadline(time.Now().Add(5 * time.Second))
		got := ""
		for buf := make([]byte, 100); len(got) < len("still here") || got[len(got)-len("still here"):] != "still here"; {
			n, err := p.host.Read(buf)
			if err != nil {
				t.Fatalf("after %q came %q, %v", typed, got, err)
			}
			got += string(buf[:n])
		}
	}
}

// hungUp waits for the end of the terminal.
func hungUp(t *testing.T, p *plumbing) {
	t.Helper()
	for range 1000 {
		if _, err := p.proc[1].Write([]byte("x")); errors.Is(err, unix.EIO) {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("the terminal isn't hung up")
}

func TestTerminalHangsUpWithTheHost(t *testing.T) {
	p := open(t, Request{Terminal: &Size{24, 80}})
	p.host.Close()
	hungUp(t, p)
}

func TestTerminalHangsUpAfterHalfClose(t *testing.T) {
	p := open(t, Request{Terminal: &Size{24, 80}})
	p.host.CloseWrite()
	expectEOF(t, p.proc[0])
	p.host.Close() // and the process is silent
	for range 1000 {
		if _, err := unix.IoctlGetTermios(int(p.proc[0].Fd()), unix.TCGETS); errors.Is(err, unix.EIO) {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("the terminal isn't hung up")
}

// TestTerminalEndWithChild has a child keep the terminal open.
func TestTerminalEndWithChild(t *testing.T) {
	p := open(t, Request{Terminal: &Size{24, 80}})
	send(t, p.proc[1], "all of it")
	p.End()
	expect(t, p.host, "all of it")
	expectEOF(t, p.host)
	p.host.Close()
	p.waitDone(t)
	hungUp(t, p)
}
