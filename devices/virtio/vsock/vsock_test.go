package vsock

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHostConnects(t *testing.T) {
	g := newGuest(t)
	c, r, h := g.dialHost(1024)
	if _, err := c.Write([]byte("to the guest")); err != nil {
		t.Fatal(err)
	}
	if _, payload := g.expect(opData); string(payload) != "to the guest" {
		t.Errorf("guest got %q", payload)
	}
	g.send(reply(h, opData), "to the host")
	got := make([]byte, 11)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "to the host" {
		t.Errorf("host process got %q, %v", got, err)
	}
}

// TestDataBehindGreeting has a host process that doesn't wait for the answer.
func TestDataBehindGreeting(t *testing.T) {
	g := newGuest(t)
	g.connect(g.path, "CONNECT 5\nearly")
	h, _ := g.expect(opRequest)
	g.send(reply(h, opResponse), "")
	if _, payload := g.expect(opData); string(payload) != "early" {
		t.Errorf("guest got %q", payload)
	}
}

func TestGuestConnects(t *testing.T) {
	g := newGuest(t)
	c, h := g.dialGuest(g.listenHost(99), 5000, 99)
	g.send(h.with(opData), "hello")
	got := make([]byte, 5)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
		t.Errorf("host process got %q, %v", got, err)
	}
}

func TestNobodyListens(t *testing.T) {
	g := newGuest(t)
	g.send(header{srcPort: 1, dstPort: 2, op: opRequest}, "")
	if h, _ := g.expect(opReset); h.srcPort != 2 || h.dstPort != 1 {
		t.Errorf("reset of the wrong connection: %+v", h)
	}
}

func TestGuestRefuses(t *testing.T) {
	g := newGuest(t)
	c := g.connect(g.path, "CONNECT 7\n")
	h, _ := g.expect(opRequest)
	g.send(reply(h, opReset), "")
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("host process read %d, %v; want the end", n, err)
	}
}

func TestBadGreetings(t *testing.T) {
	g := newGuest(t)
	for _, greeting := range []string{
		"HELLO 1\n", "CONNECT \n", "CONNECT x\n", "CONNECT -1\n", "CONNECT 4294967296\n",
		"CONNECT 1 2\n", "connect 1\n", "\n", strings.Repeat("A", 100),
	} {
		c := g.connect(g.path, greeting)
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%q: read %d, %v; want the end", greeting, n, err)
		}
	}
	g.dialHost(1) // still at work
}

func TestHalfClose(t *testing.T) {
	t.Run("host first", func(t *testing.T) {
		g := newGuest(t)
		c, r, h := g.dialHost(1)
		c.Write([]byte("last words"))
		c.CloseWrite()
		g.expect(opData)
		if h, _ := g.expect(opShutdown); h.flags != shutdownSend {
			t.Errorf("shutdown flags %d, want %d", h.flags, shutdownSend)
		}
		g.send(reply(h, opData), "still here")
		got := make([]byte, 10)
		if _, err := io.ReadFull(r, got); err != nil || string(got) != "still here" {
			t.Errorf("host process got %q, %v", got, err)
		}
		end := reply(h, opShutdown)
		end.flags = shutdownBoth
		g.send(end, "")
		g.expect(opReset)
	})
	t.Run("guest first", func(t *testing.T) {
		g := newGuest(t)
		c, r, h := g.dialHost(1)
		end := reply(h, opShutdown)
		end.flags = shutdownSend
		g.send(reply(h, opData), "bye")
		g.send(end, "")
		if got, err := io.ReadAll(r); err != nil || string(got) != "bye" {
			t.Errorf("host process got %q, %v", got, err)
		}
		c.Write([]byte("answer"))
		if _, payload := g.expect(opData); string(payload) != "answer" {
			t.Errorf("guest got %q", payload)
		}
	})
}

func TestHostProcessVanishes(t *testing.T) {
	g := newGuest(t)
	c, _, h := g.dialHost(1)
	c.Write([]byte("unread"))
	c.Close()
	g.expect(opData)
	flags := uint32(0)
	for flags != shutdownBoth {
		h, _ := g.expect(opShutdown)
		flags |= h.flags
	}
	g.send(reply(h, opReset), "")
	g.dialHost(1)
	g.noFailures()
}

func TestHostProcessVanishesBeforeAnswer(t *testing.T) {
	g := newGuest(t)
	c := g.connect(g.path, "CONNECT 7\n")
	h, _ := g.expect(opRequest)
	c.Close()
	g.expect(opReset)
	g.send(reply(h, opResponse), "") // too late
	g.expect(opReset)
	g.noFailures()
}

// TestSlowHostProcess checks that one that doesn't read stops only itself, gets
// every byte in the end, and that the guest hears of the room it made.
func TestSlowHostProcess(t *testing.T) {
	g := newGuest(t)
	_, slow, h := g.dialHost(1)
	_, quick, h2 := g.dialHost(2)
	sent := g.fill(h)
	if sent < smallWindow || sent > 1<<20 {
		t.Errorf("the device took %d bytes for a host process that reads nothing", sent)
	}
	g.send(reply(h2, opData), "quick")
	got := make([]byte, 5)
	if _, err := io.ReadFull(quick, got); err != nil || string(got) != "quick" {
		t.Fatalf("second connection got %q, %v", got, err)
	}
	all := make([]byte, sent)
	if _, err := io.ReadFull(slow, all); err != nil || string(all) != long(sent) {
		t.Fatalf("slow host process got something else, %v", err)
	}
	for {
		u, _ := g.expect(opCreditUpdate)
		if u.srcPort == h.srcPort && u.bufAlloc-(uint32(sent)-u.fwdCount) > 0 {
			break
		}
	}
	g.noFailures()
}

func TestGuestExceedsCredit(t *testing.T) {
	g := newGuest(t)
	_, _, h := g.dialHost(1)
	chunk := long(60 << 10)
	for i := range 40 { // more than the credit and what the kernel buffers
		g.send(reply(h, opData), chunk)
		if _, _, ok := g.Queues[queueRX].Used(); ok && i > 4 {
			return // reset
		}
	}
	g.expect(opReset)
	g.noFailures()
}

// TestGuestCredit checks that the device sends no more than the guest takes.
func TestGuestCredit(t *testing.T) {
	g := newGuest(t)
	c := g.connect(g.path, "CONNECT 1\n")
	h, _ := g.expect(opRequest)
	accept := reply(h, opResponse)
	accept.bufAlloc = 100
	g.send(accept, "")
	go c.Write([]byte(long(250)))
	got := ""
	for len(got) < 100 {
		_, payload := g.expect(opData)
		got += string(payload)
	}
	g.expect(opCreditRequest)
	update := reply(h, opCreditUpdate)
	update.bufAlloc, update.fwdCount = 100, 100
	g.send(update, "")
	for len(got) < 200 {
		_, payload := g.expect(opData)
		got += string(payload)
	}
	if got != long(200) {
		t.Errorf("guest got %d bytes", len(got))
	}
}

func TestBytesBothWays(t *testing.T) {
	g := newGuest(t)
	c, r, h := g.dialHost(1)
	const size = 1 << 20
	go func() {
		c.Write([]byte(long(size)))
		c.CloseWrite()
	}()
	received := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		received <- string(b)
	}()
	var sent, got int
	for got < size || sent < size {
		if got < size {
			in, payload := g.receive()
			if in.op == opData {
				if string(payload) != long(size)[got:][:len(payload)] {
					t.Fatalf("guest got other bytes at %d", got)
				}
				got += len(payload)
			}
		}
		if n := min(4096, size-sent); n > 0 {
			out := reply(h, opData)
			out.fwdCount = uint32(got)
			g.send(out, long(size)[sent:][:n])
			sent += n
		}
	}
	end := reply(h, opShutdown)
	end.flags = shutdownSend
	g.send(end, "")
	if b := <-received; b != long(size) {
		t.Errorf("host process got %d other bytes", len(b))
	}
}

func TestManyConnections(t *testing.T) {
	g := newGuest(t)
	l := g.listenHost(9)
	const n = 1000
	conns := make([]*net.UnixConn, n)
	for i := range conns {
		conns[i], _ = g.dialGuest(l, uint32(10_000+i), 9)
	}
	for i, c := range conns {
		g.send(header{srcPort: uint32(10_000 + i), dstPort: 9, op: opData}, fmt.Sprintf("%04d", i))
		got := make([]byte, 4)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != fmt.Sprintf("%04d", i) {
			t.Fatalf("connection %d got %q, %v", i, got, err)
		}
	}
}

func TestRoutes(t *testing.T) {
	private := filepath.Join(t.TempDir(), "private.sock")
	g := newGuest(t, Route{Path: private, First: 1000, Last: 1999})
	if n, err := g.connect(g.path, "CONNECT 1500\n").Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("port 1500 can be reached by way of the default path: %d, %v", n, err)
	}
	if n, err := g.connect(private, "CONNECT 5\n").Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("port 5 can be reached by way of the private path: %d, %v", n, err)
	}
	g.connect(private, "CONNECT 1500\n")
	if h, _ := g.expect(opRequest); h.dstPort != 1500 {
		t.Errorf("request for port %d", h.dstPort)
	}
	l, err := net.Listen("unix", private+"_1001")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	g.send(header{srcPort: 1, dstPort: 1001, op: opRequest}, "")
	g.expect(opResponse)
}

func TestResetEndsConnections(t *testing.T) {
	g := newGuest(t)
	c, r, _ := g.dialHost(1)
	waiting := g.connect(g.path, "CONN")
	g.Reset()
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("connection after reset: %v, want the end", err)
	}
	if _, err := waiting.Read(make([]byte, 1)); err == nil {
		t.Error("a host process that was greeting is still connected")
	}
	c.Close()
}

func TestPaths(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	if err := os.WriteFile(taken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"exists":  taken,
		"longer":  filepath.Join(dir, strings.Repeat("x", 120)),
		"empty":   "",
		"no such": filepath.Join(dir, "absent", "v.sock"),
	} {
		fresh := filepath.Join(dir, "fresh")
		_, err := New(Config{CID: 3, Routes: []Route{{Path: fresh}, {Path: path, First: 1, Last: 1}}})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(fresh); err == nil {
			t.Errorf("%s: left a socket behind", name)
		}
	}
	if _, err := New(Config{CID: 2}); err == nil {
		t.Error("the host's own CID was accepted")
	}
}
