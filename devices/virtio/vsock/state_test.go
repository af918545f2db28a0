package vsock

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// newStateGuest has a guest whose device can be saved.
func newStateGuest(t testing.TB) *guest {
	t.Helper()
	return newGuestBehind(t, virtiotest.MMIO, func(*Device) {})
}

// move has the suspended guest go on at another device, with another CID and other
// sockets, and returns who has connected to it before it begins.
func (g *guest) move(ask string) *net.UnixConn {
	g.t.Helper()
	m := g.Save()
	g.path = filepath.Join(g.t.TempDir(), "next.sock")
	g.cid++
	dev := newDevice(g.t, Config{CID: uint32(g.cid), Routes: []Route{{Path: g.path}}})
	c := g.connect(g.path, ask)
	g.Restore(dev, m)
	return c
}

// waitsFor7 takes the request for a connection to port 7, and nothing else.
func (g *guest) waitsFor7() {
	g.t.Helper()
	h, _ := g.expect(opRequest)
	if h.dstPort != 7 {
		g.t.Errorf("request for port %d", h.dstPort)
	}
	g.send(reply(h, opResponse), "")
}

// TestSuspendTouchesNothing has a driver make buffers available, at the last
// moment, and host processes connect and send: all wait.
func TestSuspendTouchesNothing(t *testing.T) {
	g := newStateGuest(t)
	c, _, h := g.dialHost(1)
	g.Suspend()
	waits := g.connect(g.path, "CONNECT 7\n")
	c.Write([]byte("later"))
	p := reply(h, opCreditRequest)
	p.srcCID, p.dstCID, p.kind, p.bufAlloc = testCID, HostCID, typeStream, g.bufAlloc
	var raw [headerSize]byte
	p.encode(&raw)
	g.Queues[queueTX].Add(g.Queues[queueTX].Out(raw[:]))
	g.Kick(queueTX)
	time.Sleep(20 * time.Millisecond)
	g.checkPositions()
	for _, q := range []int{queueRX, queueTX} {
		if _, _, ok := g.Queues[q].Used(); ok {
			t.Errorf("queue %d was served", q)
		}
	}
	g.Resume()
	g.WaitUsed(queueTX)
	seen := map[op]int{}
	for range 3 {
		h, _ := g.receive()
		seen[h.op]++
	}
	if seen[opData] != 1 || seen[opCreditUpdate] != 1 || seen[opRequest] != 1 {
		t.Errorf("received %v", seen)
	}
	waits.Close()
	g.noFailures()
}

// TestSuspendAtRest suspends a device in which nothing goes on, and in the end
// resets it without another Resume: its connections end.
func TestSuspendAtRest(t *testing.T) {
	g := newStateGuest(t)
	g.postEvents(3)
	_, r, _ := g.dialHost(1)
	for range 100 {
		g.Suspend()
		g.checkPositions()
		g.Resume()
	}
	g.dialHost(2)
	g.Suspend()
	g.Reset()
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after a reset the host process read %v, want the end", err)
	}
	g.noFailures()
}

// TestSuspendStopsTime suspends a device for longer than anybody may take to
// answer: a host process that hadn't named a port yet, and a guest that was asked,
// have as much time left as before.
func TestSuspendStopsTime(t *testing.T) {
	g := newGuestBehind(t, virtiotest.MMIO, func(d *Device) { d.linger = 500 * time.Millisecond })
	slow := g.connect(g.path, "CONN")
	g.connect(g.path, "CONNECT 6\n")
	asked, _ := g.expect(opRequest)
	g.Suspend()
	time.Sleep(time.Second)
	g.Resume()
	time.Sleep(50 * time.Millisecond) // for who would be late
	g.send(reply(asked, opResponse), "")
	io.WriteString(slow, "ECT 7\n")
	g.waitsFor7()
	io.ReadFull(slow, make([]byte, len("OK 1073741825\n")))
	// Time goes on.
	late := g.connect(g.path, "CONN")
	if n, err := late.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a silent host process read %d, %v; want the end", n, err)
	}
	g.noFailures()
}

// TestRestore has a guest with connections in all states go on at a device that
// knows none: it hears of that before anything else.
func TestRestore(t *testing.T) {
	g := newStateGuest(t)
	g.postEvents(8)
	l := g.listenHost(9)
	c, _, h := g.dialHost(1)
	_, h2 := g.dialGuest(l, 5, 9)
	g.connect(g.path, "CONNECT 3\n")
	half, _ := g.expect(opRequest)
	g.Suspend()
	c.Write([]byte("never to be read"))
	g.move("CONNECT 7\n")
	if _, n := g.WaitUsed(queueEvent); n != eventSize {
		t.Errorf("event of %d bytes", n)
	}
	// All that the guest still says of the old ones, with its old address and,
	// if it has heard of it, the new one.
	for _, cid := range []uint64{testCID, g.cid} {
		for _, p := range []header{reply(h, opData), h2.with(opData), h2.with(opShutdown), reply(half, opResponse)} {
			p.srcCID, p.dstCID, p.kind = cid, HostCID, typeStream
			g.send(p, "")
		}
	}
	time.Sleep(10 * time.Millisecond)
	g.nothingSent()
	g.postEvents(1)
	g.waitsFor7()
	g.listenHost(11)
	g.send(header{srcPort: 5, dstPort: 11, op: opRequest}, "")
	g.expect(opResponse)
	g.send(reply(h, opData), "late")
	if r, _ := g.expect(opReset); r.dstPort != h.dstPort {
		t.Errorf("reset of port %d", r.dstPort)
	}
	g.Suspend()
	g.checkPositions()
	g.Resume()
	g.noFailures()
}

// TestRestoreWithoutEventBuffer has a driver that makes room for the event later.
func TestRestoreWithoutEventBuffer(t *testing.T) {
	g := newStateGuest(t)
	g.Suspend()
	g.move("CONNECT 7\n")
	time.Sleep(10 * time.Millisecond)
	g.nothingSent()
	g.Suspend() // and again, before it has
	g.move("CONNECT 7\n")
	g.nothingSent()
	g.postEvents(1)
	g.WaitUsed(queueEvent)
	g.nothingSent()
	g.postEvents(1)
	g.waitsFor7()
	g.noFailures()
}

// TestRestoreWithEventsUnderWay saves a device whose driver hasn't taken the event
// of the last time yet: it is waited for until it has taken both.
func TestRestoreWithEventsUnderWay(t *testing.T) {
	g := newStateGuest(t)
	g.postEvents(4)
	g.resetTransport()
	for range 2 {
		g.WaitUsed(queueEvent)
		g.Suspend()
		g.move("CONNECT 7\n")
	}
	g.WaitUsed(queueEvent)
	for range 2 {
		g.postEvents(1)
		time.Sleep(5 * time.Millisecond)
		g.nothingSent()
	}
	g.postEvents(1)
	g.waitsFor7()
	g.noFailures()
}

// TestRestoredAgain saves a device that was restored and didn't go on.
func TestRestoredAgain(t *testing.T) {
	g := newStateGuest(t)
	g.postEvents(2)
	g.resetTransport()
	g.WaitUsed(queueEvent)
	g.Suspend()
	dev := newDevice(t, Config{CID: 77})
	p := virtiotest.PlugRestored(t, virtiotest.MMIO, dev, g.Heap.Mem, func(err error) { t.Error(err) }, g.Save())
	if got := p.Machine(t).GetDevices()[0].GetVsock().GetEventBuffers(); got != 2 {
		t.Errorf("%d event buffers, want 2", got)
	}
	dev.Reset() // never activated
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// TestRestoreWithoutDriver restores a device that no driver has, or has no more:
// the next one isn't told of connections that it never had.
func TestRestoreWithoutDriver(t *testing.T) {
	for name, prepare := range map[string]func(*virtiotest.Port){
		"none yet": func(p *virtiotest.Port) { p.Negotiate(virtio.FeatureVersion1) },
		"broken":   func(p *virtiotest.Port) { p.Set(virtiotest.Status, 0xff) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newStateGuest(t)
			prepare(g.Port())
			g.Port().Suspend()
			m := g.Save()
			d := newDevice(t, Config{CID: testCID})
			p := virtiotest.PlugRestored(t, virtiotest.MMIO, d, memory.NewHeap(memory.Range{Size: 1 << 20}), func(err error) { t.Error(err) }, m)
			defer p.Close()
			if err := p.Resume(); err != nil {
				t.Fatal(err)
			}
			if name == "broken" && p.Get(virtiotest.Status)&virtiotest.NeedsReset == 0 {
				t.Errorf("status %#x", p.Get(virtiotest.Status))
			}
			p.Set(virtiotest.Status, 0)
			if d.restored != nil {
				t.Error("the next driver is to be told that its connections are gone")
			}
		})
	}
}

func TestRestoreRefuses(t *testing.T) {
	g := newStateGuest(t)
	g.Suspend()
	for name, change := range map[string]func(*statev1.Device){
		"nothing":           func(s *statev1.Device) { s.Kind = nil },
		"another device":    func(s *statev1.Device) { s.Kind = &statev1.Device_Net{} },
		"too many buffers":  func(s *statev1.Device) { s.GetVsock().EventBuffers = eventQueueSize + 1 },
		"countless buffers": func(s *statev1.Device) { s.GetVsock().EventBuffers = 1<<32 - 1 },
	} {
		s := g.Save().GetDevices()[0]
		change(s)
		p := virtiotest.Plug(t, virtiotest.MMIO, newDevice(t, Config{CID: 3}), g.Heap.Mem, func(err error) { t.Error(err) })
		var refused *virtio.StateError
		if err := p.Restore(s); !errors.As(err, &refused) {
			t.Errorf("%s: Restore: %v", name, err)
		}
		p.Close()
	}
}
