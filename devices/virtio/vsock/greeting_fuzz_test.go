package vsock

import (
	"errors"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"
)

var askLine = regexp.MustCompile(`^CONNECT ([0-9]+)\r?\n`)

// wanted says which port a host process that sent text asked for.
func wanted(text []byte) (port uint32, ok bool) {
	m := askLine.FindSubmatch(text)
	if m == nil || len(m[0]) > maxAsk {
		return 0, false
	}
	n, err := strconv.ParseUint(string(m[1]), 10, 32)
	return uint32(n), err == nil
}

// FuzzGreeting has three host processes at once send any bytes in any pieces:
// each is connected to the port it asked for, with all that followed its line,
// or its socket is closed. cuts says where the text is cut and whether the
// process closes its half at the end.
func FuzzGreeting(f *testing.F) {
	for _, seed := range []struct {
		text string
		cuts []byte
	}{
		{"CONNECT 5\n", nil},
		{"CONNECT 5\r\nearly data", []byte{3, 1, 1, 1}},
		{"CONNECT 4294967295\n\n", []byte{18, 0x81}},
		{"CONNECT 4294967296\n", []byte{1}},
		{"CONNECT 00000000005\n", nil},
		{"CONNECT \nCONNECT 5\n", []byte{9, 0x80}},
		{"CONN", []byte{0x80}},
		{"connect 5\n", []byte{2}},
		{"", []byte{0x80}},
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", []byte{5}},
		{"CONNECT 5\x00\n", nil},
	} {
		f.Add([]byte(seed.text), seed.cuts)
	}
	f.Fuzz(func(t *testing.T, text []byte, cuts []byte) {
		if len(text) > 2048 || len(cuts) > 16 {
			return
		}
		const processes = 3
		port, ok := wanted(text)
		linger := lingerTime // for this guest, which may be slow, to answer
		if !ok {
			linger = 30 * time.Millisecond // for what never comes
		}
		g := newGuestWith(t, func(d *Device) { d.linger = linger })
		conns := make([]*net.UnixConn, processes)
		for i := range conns {
			conns[i] = g.connect(g.path, "")
		}
		sendPieces(conns, text, cuts)
		for range processes {
			if !ok {
				break
			}
			h, _ := g.expect(opRequest)
			if h.dstPort != port {
				t.Fatalf("%q: request for port %d", text, h.dstPort)
			}
			g.send(reply(h, opReset), "")
		}
		for _, c := range conns {
			if b, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) || len(b) > 0 {
				t.Fatalf("%q: host process read %q, %v; want the end", text, b, err)
			}
		}
		g.sync(func(h header) { t.Fatalf("%q: the device sent %+v", text, h) })
		g.noFailures()
	})
}

// sendPieces has each process send text, piece by piece and in turn.
func sendPieces(conns []*net.UnixConn, text, cuts []byte) {
	rest := text
	for _, cut := range cuts {
		n := min(int(cut&0x7f), len(rest))
		for _, c := range conns {
			c.Write(rest[:n]) // fails once the device has refused
		}
		rest = rest[n:]
	}
	for _, c := range conns {
		c.Write(rest)
		if slices.ContainsFunc(cuts, func(b byte) bool { return b >= 0x80 }) {
			c.CloseWrite()
		}
	}
}
