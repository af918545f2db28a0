package e2e

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// TestTerminal has a session on a terminal: what it prints, its size, a change
// of the size, Ctrl-C, and the end.
func TestTerminal(t *testing.T) {
	t.Parallel()
	cmd := fromTemplate(t, "-it", "--", "sh")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 33, Cols: 111})
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	s := &session{t: t, tty: tty}
	go s.read()
	s.send("echo rea''dy; stty size\n")
	s.expect("ready")
	s.expect("33 111")
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 44, Cols: 122}); err != nil {
		t.Fatal(err)
	}
	s.send("sleep 1; stty size\n")
	s.expect("44 122")
	s.send("tty; sleep 1000\n")
	s.expect("/dev/pts/")
	time.Sleep(2 * time.Second)
	s.send("\x03") // Ctrl-C ends the sleep, not the shell
	s.send("echo inter''rupted\n")
	s.expect("interrupted")
	s.send("exit 7\n")
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("ended with %v, want exit code 7\n%s", err, s.text())
	}
}

// session is a conversation on a terminal.
type session struct {
	t   *testing.T
	tty *os.File

	mu   sync.Mutex
	seen bytes.Buffer
	from int // of what expect hasn't matched
}

func (s *session) read() {
	buf := make([]byte, 4096)
	for {
		n, err := s.tty.Read(buf)
		s.mu.Lock()
		s.seen.Write(buf[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *session) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.String()
}

func (s *session) send(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.tty, text); err != nil {
		s.t.Fatal(err)
	}
}

func (s *session) expect(want string) {
	s.t.Helper()
	for start := time.Now(); time.Since(start) < 90*time.Second; time.Sleep(20 * time.Millisecond) {
		if i := strings.Index(s.text()[s.from:], want); i >= 0 {
			s.from += i + len(want)
			return
		}
	}
	s.t.Fatalf("never saw %q in:\n%s", want, s.text())
}
