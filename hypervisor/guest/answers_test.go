package guest

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

func frame(n int) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(n)), make([]byte, 6+n)...)
}

func TestFrames(t *testing.T) {
	var f frames
	stream := append(append(frame(0), frame(300)...), frame(7)...)
	got := int64(0)
	for _, b := range stream {
		got += f.count([]byte{b})
	}
	if got != 3 || f.count(stream) != 3 || f.count(frame(1 << 20)[:500]) != 1 {
		t.Error("messages are counted wrong")
	}
}

// TestUnasked has a guest answer twice to one question.
func TestUnasked(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		defer server.Close()
		io.ReadFull(server, make([]byte, len(frame(5))))
		server.Write(append(frame(3), frame(0)...))
	}()
	a := &answers{Conn: client}
	if _, err := a.Write(frame(5)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(iotest.OneByteReader(a))
	if !errors.Is(err, errUnasked) {
		t.Errorf("after %d bytes: %v, want %v", len(got), err, errUnasked)
	}
	if want := len(frame(3)) + 9; len(got) != want {
		t.Errorf("%d bytes came through, want %d", len(got), want)
	}
}

// TestGuestThatDoesNotRead has a guest take calls and read none: neither the
// call that fills the connection nor the next one waits for it for ever.
func TestGuestThatDoesNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vsock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			readLine(c, maxLine)
			io.WriteString(c, "OK 1073741824\n")
		}
	}()
	a, err := Connect(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	calls := []func(context.Context) error{
		func(ctx context.Context) error {
			_, err := a.Start(ctx, Command{Args: []string{"echo", strings.Repeat("x", 1<<20)}})
			return err
		},
		func(ctx context.Context) error {
			_, err := a.PowerOff(ctx, &agentv1.PowerOffRequest{})
			return err
		},
	}
	for i, call := range calls {
		done := make(chan error, 1)
		go func() { done <- call(t.Context()) }()
		select {
		case err := <-done:
			if err == nil {
				t.Errorf("call %d succeeded", i)
			}
		case <-time.After(3 * readTime):
			t.Fatalf("call %d waits for ever", i)
		}
	}
}
