package streams

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pair returns a connection and its other side.
func pair(t testing.TB) (*net.UnixConn, *net.UnixConn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "l"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a.(*net.UnixConn), b.(*net.UnixConn)
}

func TestReadLineDeadline(t *testing.T) {
	_, c := pair(t)
	_, _, err := ReadLine(c, 100, time.Millisecond)
	if !errors.Is(err, ErrNoLine) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a silent connection: %v", err)
	}
}

// FuzzReadLine has any bytes come, in pieces.
func FuzzReadLine(f *testing.F) {
	f.Add([]byte("bulkhead-stdio/1 a stdio\nhello"), uint8(3))
	f.Add([]byte("\n\n"), uint8(1))
	f.Add([]byte(strings.Repeat("x", 200)), uint8(0))
	f.Fuzz(func(t *testing.T, sent []byte, piece uint8) {
		const limit = 64
		c := &pieces{rest: sent, size: int(piece) + 1}
		line, s, err := ReadLine(c, limit, time.Second)
		want, after, found := bytes.Cut(sent, []byte("\n"))
		if ok := found && len(want) < limit; ok != (err == nil) {
			t.Fatalf("%q: %v", sent, err)
		}
		if err != nil {
			return
		}
		if rest, err := io.ReadAll(s); err != nil || line != string(want) || !bytes.Equal(rest, after) {
			t.Errorf("%q came as %q and %q, %v", sent, line, rest, err)
		}
	})
}

// pieces is a connection whose reads return at most size bytes.
type pieces struct {
	Conn
	rest []byte
	size int
}

func (p *pieces) SetReadDeadline(time.Time) error { return nil }

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.size)], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
