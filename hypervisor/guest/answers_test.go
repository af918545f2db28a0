package guest

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"
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
