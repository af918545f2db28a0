package record

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// message is what a client sends for some input.
func message(data string) []byte {
	return append([]byte{messageData, byte(len(data) >> 8), byte(len(data))}, data...)
}

type fixture struct {
	t     *testing.T
	set   Set
	input string
	guest guestConn
}

func startInput(t *testing.T) *fixture {
	t.Helper()
	leaks(t)
	g := newGuest(t, "")
	c := g.config(t)
	f := &fixture{t: t, input: filepath.Join(t.TempDir(), "input")}
	c.Input = f.input
	f.guest = g.start(t, &f.set, c)[0]
	f.guest.SetReadDeadline(time.Now().Add(10 * time.Second))
	return f
}

func (f *fixture) client() *net.UnixConn {
	f.t.Helper()
	c, err := net.Dial("unix", f.input)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return c.(*net.UnixConn)
}

// want reads what the guest has got.
func (f *fixture) want(input string) {
	f.t.Helper()
	b := make([]byte, len(input))
	if _, err := io.ReadFull(f.guest, b); err != nil || string(b) != input {
		f.t.Fatalf("the guest got %.40q, %v; want %.40q", b, err, input)
	}
}

// wantEnd sees the guest told that there is no more, and the socket gone.
func (f *fixture) wantEnd() {
	f.t.Helper()
	if n, err := f.guest.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		f.t.Fatalf("%d more bytes of input, %v; want the end", n, err)
	}
	for range 100 {
		if _, err := os.Stat(f.input); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.t.Error("the socket is there after the end")
}

// TestInput has clients come and go in all the ways that don't end the input.
func TestInput(t *testing.T) {
	f := startInput(t)
	if info, err := os.Stat(f.input); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	first, second := f.client(), f.client()
	second.Write(message("second"))
	first.Write(append(message("first"), message("")...))
	f.want("first")
	first.Close()
	f.want("second")
	second.CloseWrite()
	if b, err := io.ReadAll(second); len(b) > 0 || err != nil { // all of it was taken
		t.Errorf("read %q, %v", b, err)
	}
	for _, broken := range []string{"Dx", "D\x00\x05cut", "X", "DD", "\n"} {
		c := f.client()
		c.Write([]byte(broken))
		c.CloseWrite()
		if broken == "D\x00\x05cut" {
			f.want("cut")
		}
		if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%q: %v", broken, err)
		}
	}
	last, large := f.client(), strings.Repeat("x", 65535)
	last.Write(message(large))
	f.want(large)
	io.WriteString(f.guest, "an answer\n") // there is still somebody
	last.Write(append(message("bye"), messageEnd))
	f.want("bye")
	f.wantEnd()
}

// TestInputEnds has the guest end it.
func TestInputEnds(t *testing.T) {
	f := startInput(t)
	c := f.client()
	f.guest.Close()
	if _, err := io.ReadAll(c); err != nil {
		t.Error(err)
	}
	waitFree(t, &f.set)
	if _, err := os.Stat(f.input); err == nil {
		t.Error("the socket is left")
	}
}

// TestNobodyReads has a guest that doesn't read: its client waits, its output goes
// on, and its end is prompt.
func TestNobodyReads(t *testing.T) {
	f := startInput(t)
	c := f.client()
	c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := io.Copy(c, bytes.NewReader(bytes.Repeat(message(strings.Repeat("x", 60_000)), 100))); err == nil {
		t.Errorf("somebody took all %d bytes", n)
	}
	c.Close()
	f.client() // waits for its turn
	if _, err := io.WriteString(f.guest, "hello\n"); err != nil {
		t.Error(err)
	}
	start := time.Now()
	f.guest.Close()
	waitFree(t, &f.set)
	if d := time.Since(start); d > drainTime {
		t.Errorf("the end took %v", d)
	}
}

// TestStaleSocket finds what a killed process left.
func TestStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "input")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if i, err := listen(path); err == nil {
		i.close()
		t.Error("a socket in use was taken over")
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	i, err := listen(path)
	if err != nil {
		t.Fatal(err)
	}
	i.close()
	i.close()
}

// FuzzForward takes any bytes for messages: what goes to the guest is what is in
// them, and it ends.
func FuzzForward(f *testing.F) {
	f.Add([]byte("D\x00\x03abcD\x00\x00E"))
	f.Add([]byte("D\xff\xffabc"))
	f.Add([]byte("X"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		err := forward(&out, bytes.NewReader(in))
		if err == nil || out.Len() > len(in) {
			t.Fatalf("%d bytes of input, %v", out.Len(), err)
		}
		if (err == errEnd) != ended(in, out.Bytes()) {
			t.Errorf("%q: %v, %q", in, err, out.Bytes())
		}
	})
}

// ended goes through messages, and reports whether they end the input after out.
func ended(in, out []byte) bool {
	for len(in) > 0 && in[0] == messageData && len(in) >= 3 {
		n := int(in[1])<<8 | int(in[2])
		if len(in) < 3+n || !bytes.HasPrefix(out, in[3:3+n]) {
			return false
		}
		in, out = in[3+n:], out[n:]
	}
	return len(in) > 0 && in[0] == messageEnd && len(out) == 0
}
