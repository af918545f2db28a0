package vsock

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

// TestManySlowHostProcesses has so many that don't read that all they may be
// owed is held, in effect: the guest can still talk to another.
func TestManySlowHostProcesses(t *testing.T) {
	g := newGuest(t)
	l := g.listenHost(9)
	for i := range uint32(100) {
		_, h := g.dialGuest(l, 100+i, 9)
		from := reply(h, 0)
		from.bufAlloc = smallWindow
		g.fill(from)
	}
	c, h := g.dialGuest(l, 1, 9)
	g.send(h.with(opData), "quick")
	got := make([]byte, 5)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "quick" {
		t.Errorf("host process got %q, %v", got, err)
	}
	g.noFailures()
}

// TestFullReceiveQueue has a driver that takes nothing: what it sends is passed
// on all the same; section 5.10.6.1.2.
func TestFullReceiveQueue(t *testing.T) {
	g := newGuest(t)
	_, r, h := g.dialHost(1)
	for i := range uint32(len(g.buffers)) { // each earns a reset
		g.send(header{srcPort: i, dstPort: 2, op: opData}, "")
		g.WaitUsed(queueRX) // and isn't made available again
	}
	g.send(reply(h, opCreditRequest), "") // to be answered, when there is room
	for i := range 100 {
		g.send(reply(h, opData), fmt.Sprintf("%03d", i))
		got := make([]byte, 3)
		if _, err := io.ReadFull(r, got); err != nil || string(got) != fmt.Sprintf("%03d", i) {
			t.Fatalf("host process got %q, %v; want %03d", got, err, i)
		}
	}
	g.noFailures()
}

// TestSlowGuestProcess has one connection without credit: others go on.
func TestSlowGuestProcess(t *testing.T) {
	g := newGuest(t)
	slow := g.connect(g.path, "CONNECT 1\n")
	h, _ := g.expect(opRequest)
	accept := reply(h, opResponse)
	accept.bufAlloc = 10
	g.send(accept, "")
	if _, err := slow.Write([]byte(long(1000))); err != nil {
		t.Fatal(err)
	}
	if _, payload := g.expect(opData); string(payload) != long(10) {
		t.Errorf("guest got %q", payload)
	}
	g.expect(opCreditRequest)
	quick, _, _ := g.dialHost(2)
	for i := range 100 {
		fmt.Fprintf(quick, "%03d", i)
		if h, payload := g.expect(opData); h.dstPort != 2 || string(payload) != fmt.Sprintf("%03d", i) {
			t.Fatalf("guest got %q on port %d; want %03d", payload, h.dstPort, i)
		}
	}
	g.noFailures()
}

// TestCountersWrap has both sides move more than 32 bits count, in effect.
func TestCountersWrap(t *testing.T) {
	c := credit{peerBufAlloc: 100, peerFwdCount: 0xffff_fff0, sentCount: 0xffff_fff0}
	c.sentCount += 0x20
	if got := c.free(); got != 100-0x20 {
		t.Errorf("%d bytes free with 32 of 100 on their way", got)
	}
	for _, tt := range []struct {
		fwdCount, free uint32
		what           string
	}{
		{0xffff_fff8, 100 - 0x18, "some were taken"},
		{0x11, 100 - 0x18, "more than were sent were taken"},
		{0xffff_fff4, 100 - 0x18, "less than before"},
		{0x10, 100, "all were taken"},
	} {
		c.hear(&header{bufAlloc: 100, fwdCount: tt.fwdCount})
		if got := c.free(); got != tt.free {
			t.Errorf("%s: %d bytes free, want %d", tt.what, got, tt.free)
		}
	}
	c.hear(&header{bufAlloc: 5, fwdCount: 0x10})
	c.sentCount += 50 // before the guest made its buffer smaller
	if got := c.free(); got != 0 {
		t.Errorf("%d bytes free beyond the guest's buffer", got)
	}
	w := credit{window: 100, fwdCount: 0x10, toldFwdCount: 0xffff_fff0}
	if w.stale() {
		t.Error("32 of 100 bytes are worth an update")
	}
	if w.fwdCount += 18; !w.stale() {
		t.Error("half the window isn't worth an update")
	}
}

// TestNothingLeft makes a thousand connections, ends them in each way and looks
// what remains.
func TestNothingLeft(t *testing.T) {
	g := newGuest(t)
	l := g.listenHost(9)
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	const n = 1000
	for round := range 2 {
		conns := make([]*net.UnixConn, n)
		headers := make([]header, n)
		for i := range conns {
			conns[i], headers[i] = g.dialGuest(l, uint32(10_000*(round+1)+i), 9)
		}
		for i, c := range conns {
			g.send(headers[i].with(opData), "unread")
			switch i % 3 {
			case 0:
				g.send(headers[i].with(opReset), "")
			case 1:
				end := headers[i].with(opShutdown)
				end.flags = shutdownBoth
				g.send(end, "")
			case 2: // by the host process, below
			}
			c.Close()
			if i%3 == 2 {
				g.send(headers[i].with(opReset), "")
			}
			g.sync(func(header) {})
		}
		if engine := g.Device.(*Device).engine; round == 1 {
			g.Reset()
			if engine.sockets != 0 || len(engine.conns) != 0 || engine.pool != windowPool || len(engine.timers) != 0 {
				t.Errorf("left: %d sockets, %d connections, %d timers, pool of %d", engine.sockets, len(engine.conns), len(engine.timers), engine.pool)
			}
		} else if f, r := openFiles(t), runtime.NumGoroutine(); f > files || r > goroutines {
			t.Errorf("%d files and %d goroutines, %d and %d before", f, r, files, goroutines)
		}
	}
	for start := time.Now(); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
		if time.Since(start) > 5*time.Second {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
		}
	}
}
