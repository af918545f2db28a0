package vsock

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

// postEvents gives the device buffers for events.
func (g *guest) postEvents(n int) (buffers []vqtest.Buffer) {
	for range n {
		b := g.Queues[queueEvent].In(eventSize)
		g.Queues[queueEvent].Bytes(b)[0] = 0xff
		g.Queues[queueEvent].Add(b)
		buffers = append(buffers, b)
	}
	g.Kick(queueEvent)
	return buffers
}

func (g *guest) resetTransport() { g.Device.(*Device).ResetTransport() }

// nothingSent fails if the device has sent anything once it has taken a packet
// that deserves no answer.
func (g *guest) nothingSent() {
	g.t.Helper()
	g.send(header{srcPort: 1, dstPort: 2, op: opReset}, "")
	if _, _, ok := g.Queues[queueRX].Used(); ok {
		g.t.Error("the device sent something before the driver has taken the event")
	}
}

// TestTransportReset follows a driver that takes the event: connections end,
// and a new one waits until the driver is ready for it.
func TestTransportReset(t *testing.T) {
	g := newGuest(t)
	buffers := g.postEvents(8)
	l := g.listenHost(9)
	_, made, h := g.dialHost(1)
	taken, h2 := g.dialGuest(l, 5, 9)
	g.resetTransport()
	if _, n := g.WaitUsed(queueEvent); n != eventSize {
		t.Errorf("event of %d bytes", n)
	}
	if id := binary.LittleEndian.Uint32(g.Queues[queueEvent].Bytes(buffers[0])); id != eventTransportReset {
		t.Errorf("event %d", id)
	}
	if _, err := made.ReadByte(); err == nil {
		t.Error("the host's connection is still there")
	}
	if _, err := taken.Read(make([]byte, 1)); err == nil {
		t.Error("the guest's connection is still there")
	}
	// What the driver sends of the old ones is no news to it, nor to us.
	g.send(reply(h, opData), "late")
	g.send(h2.with(opShutdown), "")
	g.connect(g.path, "CONNECT 7\n")
	time.Sleep(20 * time.Millisecond) // for the request, if it came too early
	g.nothingSent()
	g.postEvents(1)
	if h, _ := g.expect(opRequest); h.dstPort != 7 {
		t.Errorf("request for port %d", h.dstPort)
	}
	g.noFailures()
}

// TestTransportResetWithoutBuffer has the driver take its time to make room for
// the event.
func TestTransportResetWithoutBuffer(t *testing.T) {
	g := newGuest(t)
	g.dialHost(1)
	g.resetTransport()
	g.connect(g.path, "CONNECT 7\n")
	g.nothingSent()
	g.postEvents(1)
	g.WaitUsed(queueEvent)
	g.nothingSent()
	g.postEvents(1)
	g.expect(opRequest)
	g.noFailures()
}

// TestTransportResetNotReturned has a driver that never gives the buffer back:
// it can have read the event, and isn't waited for any longer.
func TestTransportResetNotReturned(t *testing.T) {
	g := newGuestWith(t, func(d *Device) { d.linger = 50 * time.Millisecond })
	g.postEvents(3)
	g.resetTransport()
	g.WaitUsed(queueEvent)
	time.Sleep(100 * time.Millisecond)
	g.dialHost(1)
	g.noFailures()
}

func TestTransportResetTwice(t *testing.T) {
	g := newGuest(t)
	g.postEvents(2)
	g.resetTransport()
	g.WaitUsed(queueEvent)
	g.resetTransport()
	g.WaitUsed(queueEvent)
	g.connect(g.path, "CONNECT 7\n")
	g.postEvents(1) // for one of them
	time.Sleep(10 * time.Millisecond)
	g.nothingSent()
	g.postEvents(1)
	g.expect(opRequest)
	g.noFailures()
}

func TestTransportResetTinyBuffer(t *testing.T) {
	g := newGuest(t)
	g.Queues[queueEvent].Add(g.Queues[queueEvent].In(eventSize - 1))
	g.resetTransport()
	g.WaitFailure()
}

func TestTransportResetOfInactive(t *testing.T) {
	d, err := New(Config{CID: testCID})
	if err != nil {
		t.Fatal(err)
	}
	d.ResetTransport()
}
