package chunk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReader(t *testing.T) {
	full := string([]byte{0, 1, 0, 0}) + strings.Repeat("x", MaxContent)
	tests := []struct {
		name, sent, want string
		err              error
	}{
		{"empty file", "\x00\x00\x00\x00", "", nil},
		{"two chunks", "\x00\x00\x00\x02ab\x00\x00\x00\x01c\x00\x00\x00\x00", "abc", nil},
		{"more behind the end", "\x00\x00\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x01b", "a", nil},
		{"longest chunk", full + "\x00\x00\x00\x00", full[headerSize:], nil},
		{"nothing", "", "", ErrCut},
		{"cut in a header", "\x00\x00\x00", "", ErrCut},
		{"cut in a chunk", "\x00\x00\x00\x03ab", "ab", ErrCut},
		{"cut between chunks", "\x00\x00\x00\x02ab", "ab", ErrCut},
		{"too long", "\x00\x01\x00\x01" + full, "", ErrTooLong},
		{"no chunks", "GET / HTTP/1.1\r\n", "", ErrTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []io.Reader{
				strings.NewReader(tt.sent),
				iotest.OneByteReader(strings.NewReader(tt.sent)),
				iotest.DataErrReader(strings.NewReader(tt.sent)),
			} {
				got, err := io.ReadAll(NewReader(r))
				if string(got) != tt.want || !errors.Is(err, tt.err) || errors.Is(err, io.EOF) {
					t.Errorf("read %d bytes, %v; want %d, %v", len(got), err, len(tt.want), tt.err)
				}
			}
		})
	}
}

func TestReaderTakesNothingBehindTheEnd(t *testing.T) {
	sent := strings.NewReader("\x00\x00\x00\x01a\x00\x00\x00\x00rest")
	if _, err := io.ReadAll(NewReader(sent)); err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(sent); string(rest) != "rest" {
		t.Errorf("%q is left", rest)
	}
}

func TestSend(t *testing.T) {
	for _, size := range []int{0, 1, MaxContent - headerSize, MaxContent, 3*MaxContent + 7} {
		want := bytes.Repeat([]byte("ab"), size)[:size]
		for _, room := range []int{5, 100, MaxContent, 2 * MaxContent} {
			if room == 5 && size > MaxContent {
				continue
			}
			var wire bytes.Buffer
			n, err := Send(&wire, bytes.NewReader(want), make([]byte, room))
			if err != nil || n != uint64(size) {
				t.Fatalf("Send of %d bytes = %d, %v", size, n, err)
			}
			if got, err := io.ReadAll(NewReader(&wire)); err != nil || !bytes.Equal(got, want) || wire.Len() != 0 {
				t.Errorf("%d of %d bytes came, %v; %d are left", len(got), size, err, wire.Len())
			}
		}
	}
}

func TestSendFails(t *testing.T) {
	broken := errors.New("disk trouble")
	var wire bytes.Buffer
	_, err := Send(&wire, io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(broken)), make([]byte, 100))
	if !errors.Is(err, broken) || errors.Is(err, ErrCut) {
		t.Errorf("a reader's error: %v", err)
	}
	if _, err := io.ReadAll(NewReader(&wire)); !errors.Is(err, ErrCut) {
		t.Errorf("what was sent has an end: %v", err)
	}
	r, w := io.Pipe()
	r.Close()
	if _, err := Send(w, strings.NewReader("ab"), make([]byte, 100)); !errors.Is(err, ErrCut) {
		t.Errorf("a connection's error: %v", err)
	}
}

// FuzzReader has any bytes come, and in any pieces.
func FuzzReader(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02ab\x00\x00\x00\x00rest"), uint16(3))
	f.Add([]byte("\x00\x01\x00\x01"), uint16(0))
	f.Add([]byte("\x00\x00\x00\x03ab"), uint16(100))
	f.Add([]byte{}, uint16(1))
	f.Fuzz(func(t *testing.T, sent []byte, piece uint16) {
		wire := bytes.NewReader(sent)
		r := NewReader(wire)
		var got []byte
		var err error
		for buf := make([]byte, int(piece)+1); err == nil; {
			var n int
			n, err = r.Read(buf)
			got = append(got, buf[:n]...)
		}
		if _, again := r.Read(make([]byte, 1)); again != err {
			t.Errorf("after %v comes %v", err, again)
		}
		want, left := contents(sent)
		if !bytes.Equal(got, want) || err == io.EOF != (left >= 0) {
			t.Errorf("%q came out of %q, %v; want %q", got, sent, err, want)
		}
		switch {
		case err == io.EOF:
			if wire.Len() != left {
				t.Errorf("%d bytes are left, want %d", wire.Len(), left)
			}
		case errors.Is(err, ErrCut):
			if wire.Len() != 0 {
				t.Errorf("cut with %d bytes left", wire.Len())
			}
		case !errors.Is(err, ErrTooLong):
			t.Errorf("an error of its own: %v", err)
		}
	})
}

// contents returns what is in the chunks of sent, and how much is behind the
// last: -1 if there is no last.
func contents(sent []byte) (all []byte, left int) {
	for len(sent) >= headerSize {
		size := int(binary.BigEndian.Uint32(sent))
		sent = sent[headerSize:]
		if size == 0 {
			return all, len(sent)
		}
		if size > MaxContent {
			return all, -1
		}
		n := min(size, len(sent))
		all = append(all, sent[:n]...)
		sent = sent[n:]
	}
	return all, -1
}
