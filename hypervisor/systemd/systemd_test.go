package systemd

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// listen is a service manager's socket, and what comes to it.
func listen(t *testing.T) (*net.UnixConn, func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv(envNotify, path)
	return conn, func() string {
		b := make([]byte, 4096)
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

func newManager(t *testing.T) *Manager {
	t.Helper()
	m, err := NewManager()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestManager(t *testing.T) {
	_, next := listen(t)
	m := newManager(t)
	m.Status("two\nlines\n")
	if got := next(); got != "STATUS=two; lines" {
		t.Errorf("%q", got)
	}
	m.Ready("fine")
	if got := next(); got != "READY=1\nSTATUS=fine" {
		t.Errorf("%q", got)
	}
	m.Reloading()
	if got := next(); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("%q", got)
	}
	m.Stopping("bye")
	if got := next(); got != "STOPPING=1\nSTATUS=bye" {
		t.Errorf("%q", got)
	}
}

// TestNotForChildren takes what is said to this process out of the environment.
func TestNotForChildren(t *testing.T) {
	listen(t)
	t.Setenv("WATCHDOG_USEC", "1000000")
	t.Setenv("WATCHDOG_PID", "1")
	newManager(t)
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if value, ok := os.LookupEnv(name); ok {
			t.Errorf("%s=%s is still there", name, value)
		}
	}
}

// TestNobody has no service manager, and then one that is gone.
func TestNobody(t *testing.T) {
	t.Setenv(envNotify, "")
	newManager(t).Ready("")
	t.Setenv(envNotify, filepath.Join(t.TempDir(), "gone"))
	newManager(t).Ready("")
	ended := make(chan struct{})
	go func() { // without a watchdog, at once
		defer close(ended)
		new(Manager).Watchdog(t.Context(), func() bool { return true })
	}()
	<-ended
}

func TestBadWatchdog(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "soon")
	if _, err := NewManager(); err == nil || !strings.Contains(err.Error(), "WATCHDOG_USEC") {
		t.Errorf("%v", err)
	}
}

// TestWatchdog is fed while the daemon is healthy, and not while it says that it
// isn't or says nothing.
func TestWatchdog(t *testing.T) {
	conn, next := listen(t)
	const timeout, beats = 6 * time.Second, 2 // a host may be slow
	t.Setenv("WATCHDOG_USEC", fmt.Sprint(timeout.Microseconds()))
	m := newManager(t)
	well, stuck := make(chan bool, 1), make(chan struct{})
	well <- true
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go m.Watchdog(ctx, func() bool {
		select {
		case w := <-well:
			well <- w
			return w
		case <-stuck:
			return false
		}
	})
	began := time.Now()
	for range beats {
		if got := next(); got != "WATCHDOG=1" {
			t.Errorf("%q", got)
		}
	}
	if took := time.Since(began); took > beats*timeout/2 {
		t.Errorf("it was fed %d times in %v, which should be less than half of %v each", beats, took, timeout)
	}
	silent := func(why string) {
		t.Helper()
		time.Sleep(timeout / 4) // what was on its way
		for conn.SetReadDeadline(time.Now()); ; {
			if _, err := conn.Read(make([]byte, 100)); err != nil {
				break
			}
		}
		conn.SetReadDeadline(time.Now().Add(timeout / 2))
		if n, _ := conn.Read(make([]byte, 100)); n > 0 {
			t.Errorf("it is fed though the daemon %s", why)
		}
	}
	<-well
	silent("is stuck")
	stuck <- struct{}{} // the one question that waits is answered
	well <- false
	silent("isn't well")
	<-well
	well <- true
	next()
}
