package rpc

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/protowire"
)

func serve(t *testing.T) net.Conn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rpc")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &Server{Service: "s", Methods: map[string]Method{
		"echo": func(_ context.Context, b []byte) ([]byte, *Status) { return b, nil },
		"fail": func(context.Context, []byte) ([]byte, *Status) { return nil, &Status{NotFound, "gone"} },
		"wait": func(ctx context.Context, _ []byte) ([]byte, *Status) {
			<-ctx.Done()
			return nil, &Status{Canceled, "over"}
		},
	}}
	go s.Serve(l)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func send(t *testing.T, c net.Conn, length, stream uint32, kind byte, body []byte) {
	t.Helper()
	h := make([]byte, headerSize)
	binary.BigEndian.PutUint32(h, length)
	binary.BigEndian.PutUint32(h[4:], stream)
	h[8] = kind
	if _, err := c.Write(append(h, body...)); err != nil {
		t.Fatal(err)
	}
}

func callBody(method, payload string, timeout time.Duration) []byte {
	b := protowire.AppendBytes(nil, 1, "s")
	b = protowire.AppendBytes(b, 2, method)
	b = protowire.AppendBytes(b, 3, payload)
	return protowire.AppendVarint(b, 4, uint64(timeout))
}

// receive returns the stream, code and payload of a response.
func receive(t *testing.T, c net.Conn) (stream uint32, code Code, payload string) {
	t.Helper()
	h := make([]byte, headerSize)
	if _, err := io.ReadFull(c, h); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(h))
	if _, err := io.ReadFull(c, body); err != nil {
		t.Fatal(err)
	}
	err := protowire.Fields(body, func(f protowire.Field) error {
		if f.Number == 2 {
			payload = f.String()
			return nil
		}
		return protowire.Fields(f.Bytes, func(f protowire.Field) error {
			if f.Number == 1 {
				code = Code(f.Varint)
			}
			return nil
		})
	})
	if err != nil || h[8] != typeResponse {
		t.Errorf("a response of type %d, %v", h[8], err)
	}
	return binary.BigEndian.Uint32(h[4:]), code, payload
}

func TestCalls(t *testing.T) {
	c := serve(t)
	tests := []struct {
		name    string
		stream  uint32
		kind    byte
		body    []byte
		code    Code
		payload string
	}{
		{"a call", 1, typeRequest, callBody("echo", "hello", 0), 0, "hello"},
		{"an empty call", 3, typeRequest, callBody("echo", "", 0), 0, ""},
		{"a failure", 5, typeRequest, callBody("fail", "", 0), NotFound, ""},
		{"no such method", 7, typeRequest, callBody("none", "", 0), Unimplemented, ""},
		{"nothing", 9, typeRequest, nil, Unimplemented, ""},
		{"no message", 11, typeRequest, []byte{0xff}, InvalidArgument, ""},
		{"a deadline", 13, typeRequest, callBody("wait", "", time.Millisecond), Canceled, ""},
		{"an even stream", 14, typeRequest, callBody("echo", "", 0), InvalidArgument, ""},
		{"an old stream", 13, typeRequest, callBody("echo", "", 0), InvalidArgument, ""},
		{"after all that", 15, typeRequest, callBody("echo", "still", 0), 0, "still"},
	}
	for _, tt := range tests {
		send(t, c, uint32(len(tt.body)), tt.stream, tt.kind, tt.body)
		if stream, code, payload := receive(t, c); stream != tt.stream || code != tt.code || payload != tt.payload {
			t.Errorf("%s: stream %d, code %d, %q; want %d, %d, %q", tt.name, stream, code, payload, tt.stream, tt.code, tt.payload)
		}
	}
}

func TestOddMessages(t *testing.T) {
	c := serve(t)
	send(t, c, 4, 1, 3, []byte("data")) // of a stream: ignored
	send(t, c, maxMessage+1, 1, typeRequest, make([]byte, maxMessage+1))
	if _, code, _ := receive(t, c); code != ResourceExhausted {
		t.Errorf("a message too long: code %d", code)
	}
	body := callBody("echo", "fine", 0)
	send(t, c, uint32(len(body)), 3, typeRequest, body)
	if _, code, payload := receive(t, c); code != 0 || payload != "fine" {
		t.Errorf("after that: code %d, %q", code, payload)
	}
}

func TestManyAtOnce(t *testing.T) {
	c := serve(t)
	wait, echo := callBody("wait", "", 0), callBody("echo", "quick", 0)
	send(t, c, uint32(len(wait)), 1, typeRequest, wait)
	send(t, c, uint32(len(echo)), 3, typeRequest, echo)
	if stream, _, payload := receive(t, c); stream != 3 || payload != "quick" {
		t.Errorf("stream %d answered %q first", stream, payload)
	}
}
