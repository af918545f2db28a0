package daemon

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// manager is what systemd is to a daemon.
type manager struct {
	t    testing.TB
	path string

	mu    sync.Mutex // the rest
	heard []message
}

// message is one that it heard.
type message struct {
	at    time.Time
	lines []string
}

// has reports whether a line of it begins so.
func (m message) has(prefix string) bool { return m.value(prefix) != nil }

// value is the rest of the line that begins so.
func (m message) value(prefix string) *string {
	for _, line := range m.lines {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return &rest
		}
	}
	return nil
}

func (h *host) newManager() *manager {
	h.t.Helper()
	m := &manager{t: h.t, path: h.path("notify")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	h.must(err)
	h.t.Cleanup(func() { conn.Close() })
	go func() {
		for b := make([]byte, 64<<10); ; {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.heard = append(m.heard, message{time.Now(), strings.Split(string(b[:n]), "\n")})
			m.mu.Unlock()
		}
	}()
	return m
}

func (m *manager) env() string { return "NOTIFY_SOCKET=" + m.path }

func (m *manager) all() []message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.heard[:len(m.heard):len(m.heard)]
}

// await returns the first message after some that has a line which begins so.
func (m *manager) await(after int, prefix string) (index int, found message) {
	m.t.Helper()
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(2 * time.Millisecond) {
		for i, got := range m.all() {
			if i >= after && got.has(prefix) {
				return i, got
			}
		}
	}
	m.t.Fatalf("the service manager didn't hear %s but %v", prefix, m.all())
	return 0, message{}
}

// count is how many messages have a line that begins so.
func (m *manager) count(prefix string) (n int) {
	for _, got := range m.all() {
		if got.has(prefix) {
			n++
		}
	}
	return n
}
