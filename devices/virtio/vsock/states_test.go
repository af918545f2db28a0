package vsock

import (
	"bufio"
	"io"
	"net"
	"testing"
)

// TestResetInEachState has the guest reset a connection that is in any state:
// the host process sees the end, the guest hears no more of it, and may use the
// same ports again at once.
func TestResetInEachState(t *testing.T) {
	states := map[string]func(g *guest) (*net.UnixConn, header, *net.UnixListener){
		"open": func(g *guest) (*net.UnixConn, header, *net.UnixListener) {
			l := g.listenHost(9)
			c, h := g.dialGuest(l, 5, 9)
			return c, h, l
		},
		"the guest sends no more": func(g *guest) (*net.UnixConn, header, *net.UnixListener) {
			l := g.listenHost(9)
			c, h := g.dialGuest(l, 5, 9)
			g.send(h.shutdown(shutdownSend), "")
			return c, h, l
		},
		"the guest takes no more": func(g *guest) (*net.UnixConn, header, *net.UnixListener) {
			l := g.listenHost(9)
			c, h := g.dialGuest(l, 5, 9)
			g.send(h.shutdown(shutdownReceive), "")
			return c, h, l
		},
		"the host process sends no more": func(g *guest) (*net.UnixConn, header, *net.UnixListener) {
			l := g.listenHost(9)
			c, h := g.dialGuest(l, 5, 9)
			c.CloseWrite()
			g.expect(opShutdown)
			return c, h, l
		},
		"neither sends any more": func(g *guest) (*net.UnixConn, header, *net.UnixListener) {
			l := g.listenHost(9)
			c, h := g.dialGuest(l, 5, 9)
			g.send(h.shutdown(shutdownSend), "")
			c.CloseWrite()
			for flags := uint32(0); flags&shutdownSend == 0; {
				h, _ := g.expect(opShutdown)
				flags |= h.flags
			}
			return c, h, l
		},
		"without credit": func(g *guest) (*net.UnixConn, header, *net.UnixListener) {
			l := g.listenHost(9)
			c, h := g.dialGuest(l, 5, 9)
			update := h.with(opCreditUpdate)
			update.bufAlloc = 3
			g.send(update, "")
			c.Write([]byte("more than three"))
			g.expect(opData)
			g.expect(opCreditRequest)
			return c, h, l
		},
	}
	for name, reach := range states {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t)
			c, h, l := reach(g)
			g.send(h.with(opReset), "")
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("host process read %d, %v; want the end", n, err)
			}
			g.sync(func(h header) {
				if h.op != opShutdown { // which may have been on its way
					t.Errorf("the device sent %+v", h)
				}
			})
			again, h := g.dialGuest(l, h.srcPort, h.dstPort)
			g.send(h.with(opData), "anew")
			got := make([]byte, 4)
			if _, err := io.ReadFull(again, got); err != nil || string(got) != "anew" {
				t.Errorf("host process got %q, %v", got, err)
			}
			g.noFailures()
		})
	}
}

func (h header) shutdown(flags uint32) header {
	h.op, h.flags = opShutdown, flags
	return h
}

// TestHalfCloseWithDataInFlight has each side close its half while all that it
// sent is yet to be taken: every byte arrives, and the end after them.
func TestHalfCloseWithDataInFlight(t *testing.T) {
	g := newGuest(t)
	c := g.connect(g.path, "CONNECT 1\n")
	h, _ := g.expect(opRequest)
	g.bufAlloc = 100
	g.send(reply(h, opResponse), "")
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	const size = 16 << 10
	if _, err := c.Write([]byte(long(size))); err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	_, first := g.expect(opData) // no more than a little fits
	received := string(first)
	g.expect(opCreditRequest)
	sent := g.fill(h)
	g.send(reply(h, 0).shutdown(shutdownSend), "")

	// Only now does either side read.
	got, err := io.ReadAll(r)
	if err != nil || string(got) != long(sent) {
		t.Errorf("host process got %d bytes of %d, %v", len(got), sent, err)
	}
	g.bufAlloc = 1 << 20
	more := reply(h, opCreditUpdate)
	more.fwdCount = uint32(len(first))
	for end := false; !end; {
		g.send(more, "")
		p, payload := g.receive()
		received += string(payload)
		more.fwdCount += uint32(len(payload))
		end = p.op == opShutdown && p.flags&shutdownSend != 0
	}
	if received != long(size) {
		t.Errorf("guest got %d bytes of %d before the end", len(received), size)
	}
	g.noFailures()
}
