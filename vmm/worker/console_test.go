package worker

import (
	"bytes"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/vmm/logfile"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// sink takes what is written, each write by itself, unless it is locked.
type sink struct {
	sync.Mutex
	writes []string
}

func (s *sink) Write(p []byte) (int, error) {
	s.Lock()
	defer s.Unlock()
	s.writes = append(s.writes, string(p))
	return len(p), nil
}

// byByte writes as a guest does.
func byByte(w io.Writer, text string) {
	for i := range len(text) {
		w.Write([]byte(text[i : i+1]))
	}
}

func TestConsole(t *testing.T) {
	out, lines := new(sink), new(sink)
	c := newConsole(out)
	c.add(lines, time.Hour)
	byByte(c, "one\ntwo\nthr")
	byByte(c, "ee\n$ ")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	byByte(c, "late")
	const want = "one\ntwo\nthree\n$ "
	for name, s := range map[string]*sink{"each byte": out, "lines": lines} {
		if got := strings.Join(s.writes, ""); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, w := range lines.writes[:len(lines.writes)-1] {
		if !strings.HasSuffix(w, "\n") {
			t.Errorf("lines were passed on as %q", lines.writes)
		}
	}
	if tail := string(c.Tail()); tail != want+"late" {
		t.Errorf("the tail is %q", tail)
	}
}

// TestUnfinishedLine has a guest ask and wait for the answer.
func TestUnfinishedLine(t *testing.T) {
	out := new(sink)
	c := newConsole(nil)
	c.add(out, 10*time.Millisecond)
	defer c.Close()
	byByte(c, "login: ")
	for range 1000 {
		out.Lock()
		got := strings.Join(out.writes, "")
		out.Unlock()
		if got == "login: " {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("it was held back")
}

// TestSlowReaders has one of two take nothing for a while: neither the guest nor the
// other waits.
func TestSlowReaders(t *testing.T) {
	slow, quick := new(sink), new(sink)
	c := newConsole(slow)
	c.add(quick, 0)
	slow.Lock()
	line := strings.Repeat("x", 1023) + "\n"
	for range 3 * backlogSize / len(line) {
		c.Write([]byte(line))
		for waiting := true; waiting; time.Sleep(time.Microsecond) {
			c.feeds[1].mu.Lock()
			waiting = len(c.feeds[1].backlog) > backlogSize/2
			c.feeds[1].mu.Unlock()
		}
	}
	slow.Unlock()
	c.Close()
	if n := len(strings.Join(quick.writes, "")); n != 3*backlogSize {
		t.Errorf("the quick one got %d bytes of %d", n, 3*backlogSize)
	}
	got := strings.Join(slow.writes, "")
	if len(got) < backlogSize || len(got) > 2*backlogSize || strings.Count(got, dropNotice) != 1 {
		t.Errorf("the slow one got %d bytes and %d notes", len(got), strings.Count(got, dropNotice))
	}
}

// TestConsoleLog boots a guest that says hello.
func TestConsoleLog(t *testing.T) {
	code := []byte{0x66, 0xba, 0xf8, 0x03} // mov dx, 0x3f8
	for _, b := range []byte("hello\r\nworld") {
		code = append(code, 0xb0, b, 0xee) // mov al, b; out dx, al
	}
	path := filepath.Join(t.TempDir(), "log")
	w := createWith(t, append(code, 0xf4), &vmmv1.MachineConfig{Console: &vmmv1.LogFile{Path: path}})
	must(w.Start(t.Context(), &vmmv1.StartRequest{}))(t)
	for deadline := time.Now().Add(10 * time.Second); !bytes.HasSuffix(w.console.Tail(), []byte("world")); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the guest says nothing")
		}
	}
	if _, err := logfile.Open(logfile.Config{Path: path}); err == nil {
		t.Error("the log isn't the worker's alone")
	}
	must(w.Stop(t.Context(), &vmmv1.StopRequest{}))(t)
	must(w.Wait(t.Context(), &vmmv1.WaitRequest{}))(t)
	got := records(t, path)
	if text := strings.ReplaceAll(strings.Join(got, ""), "console: ", ""); text != "hello\r\nworld" || !slices.Contains(got, "console: hello\r\n") {
		t.Errorf("logged %q", got)
	}
}

func TestConsoleLogRefused(t *testing.T) {
	w := create(t, &vmmv1.MachineConfig{})
	_, err := w.openConsoleLog(&vmmv1.MachineConfig{Console: &vmmv1.LogFile{Path: t.TempDir()}})
	if err == nil {
		t.Error("a directory is logged to")
	}
	fresh := New(w.config)
	t.Cleanup(fresh.Close)
	_, err = fresh.Create(t.Context(), &vmmv1.CreateRequest{Machine: &vmmv1.MachineConfig{
		Kernel: writeFile(t, "kernel", nil), Console: &vmmv1.LogFile{Path: "/none/log"},
	}})
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("no such directory: %v", err)
	}
	path := filepath.Join(t.TempDir(), "log")
	_, err = fresh.Create(t.Context(), &vmmv1.CreateRequest{Machine: &vmmv1.MachineConfig{
		Kernel: writeFile(t, "kernel", nil), Console: &vmmv1.LogFile{Path: path},
	}})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("an empty kernel: %v", err)
	}
	l := must(logfile.Open(logfile.Config{Path: path}))(t) // it was let go of
	l.Close()
}
