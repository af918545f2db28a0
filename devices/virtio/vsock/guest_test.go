package vsock

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

const testCID = 42

// guest is the driver's side of a socket device, one packet at a time.
type guest struct {
	*virtiotest.Harness
	t    testing.TB
	path string // of the default route
	cid  uint64

	buffers  map[uint16]vqtest.Buffer // posted on the receive queue
	bufAlloc uint32                   // of each connection, unless a packet says another
}

func newGuest(t testing.TB, routes ...Route) *guest {
	t.Helper()
	return newGuestWith(t, func(*Device) {}, routes...)
}

// newGuestWith has the device changed before it starts.
func newGuestWith(t testing.TB, change func(*Device), routes ...Route) *guest {
	t.Helper()
	return newGuestBehind(t, "", change, routes...)
}

// newGuestBehind has the device behind a transport, which it must be to be saved.
func newGuestBehind(t testing.TB, transport virtiotest.Transport, change func(*Device), routes ...Route) *guest {
	t.Helper()
	path := filepath.Join(t.TempDir(), "v.sock")
	dev := newDevice(t, Config{CID: testCID, Routes: append([]Route{{Path: path}}, routes...)})
	change(dev)
	g := &guest{
		Harness: virtiotest.Start(t, dev, virtiotest.Options{Memory: 64 << 20, Transport: transport}),
		t:       t, path: path, cid: testCID, buffers: make(map[uint16]vqtest.Buffer), bufAlloc: 1 << 20,
	}
	for range 32 {
		g.post(g.Queues[queueRX].In(4096 + headerSize))
	}
	return g
}

func newDevice(t testing.TB, c Config) *Device {
	t.Helper()
	dev, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	return dev
}

func (g *guest) post(b vqtest.Buffer) {
	g.buffers[g.Queues[queueRX].Add(b)] = b
	g.Kick(queueRX)
}

// receive returns the next packet from the device.
func (g *guest) receive() (header, []byte) {
	g.t.Helper()
	head, n := g.WaitUsed(queueRX)
	b := g.buffers[head]
	delete(g.buffers, head)
	raw := g.Queues[queueRX].Bytes(b)
	var h header
	h.decode((*[headerSize]byte)(raw))
	payload := append([]byte(nil), raw[headerSize:n]...)
	if int(h.len) != len(payload) || h.dstCID != g.cid || h.srcCID != HostCID || h.kind != typeStream {
		g.t.Fatalf("device sent a bad packet: %+v with %d bytes", h, len(payload))
	}
	g.post(b)
	return h, payload
}

// expect is receive for a packet that must be of the given kind.
func (g *guest) expect(want op) (header, []byte) {
	g.t.Helper()
	h, payload := g.receive()
	if h.op != want {
		g.t.Fatalf("device sent operation %d, want %d: %+v", h.op, want, h)
	}
	return h, payload
}

// send hands the device one packet and waits until it has taken it.
func (g *guest) send(h header, payload string) {
	g.t.Helper()
	h.len = uint32(len(payload))
	g.sendRaw(h, payload)
}

func (g *guest) sendRaw(h header, payload string) {
	g.t.Helper()
	if h.srcCID == 0 {
		h.srcCID, h.dstCID, h.kind = g.cid, HostCID, typeStream
	}
	if h.bufAlloc == 0 {
		h.bufAlloc = g.bufAlloc
	}
	var raw [headerSize]byte
	h.encode(&raw)
	d := g.Queues[queueTX]
	buffers := []vqtest.Buffer{d.Out(raw[:])}
	if payload != "" {
		buffers = append(buffers, d.Out([]byte(payload)))
	}
	g.Do(queueTX, buffers...)
}

// reply returns a header for the connection that h came on.
func reply(h header, o op) header {
	return header{srcPort: h.dstPort, dstPort: h.srcPort, op: o}
}

// dialHost connects as a host process does and returns once the guest has
// accepted.
func (g *guest) dialHost(port uint32) (*net.UnixConn, *bufio.Reader, header) {
	g.t.Helper()
	c := g.connect(g.path, fmt.Sprintf("CONNECT %d\n", port))
	h, _ := g.expect(opRequest)
	if h.dstPort != port {
		g.t.Fatalf("request for port %d, want %d", h.dstPort, port)
	}
	g.send(reply(h, opResponse), "")
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	if want := fmt.Sprintf("OK %d\n", h.srcPort); err != nil || line != want {
		g.t.Fatalf("host process read %q, %v; want %q", line, err, want)
	}
	return c, r, h
}

func (g *guest) connect(path, greeting string) *net.UnixConn {
	g.t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if greeting == "" { // who is silent may have been hung up on already
		return c.(*net.UnixConn)
	}
	if _, err := c.Write([]byte(greeting)); err != nil {
		g.t.Fatal(err)
	}
	return c.(*net.UnixConn)
}

// listenHost is a host process that waits for the guest on a port.
func (g *guest) listenHost(port uint32) *net.UnixListener {
	g.t.Helper()
	l, err := net.Listen("unix", fmt.Sprintf("%s_%d", g.path, port))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { l.Close() })
	l.(*net.UnixListener).SetDeadline(time.Now().Add(10 * time.Second))
	return l.(*net.UnixListener)
}

// dialGuest has the guest connect from srcPort to a listening host process.
func (g *guest) dialGuest(l *net.UnixListener, srcPort, dstPort uint32) (*net.UnixConn, header) {
	g.t.Helper()
	h := header{srcPort: srcPort, dstPort: dstPort, op: opRequest}
	g.send(h, "")
	c, err := l.AcceptUnix()
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	g.expect(opResponse)
	h.op = 0
	return c, h
}

// fill sends on the connection that h came on for as long as the device has
// room, and returns how many bytes that took: those of long.
func (g *guest) fill(h header) (sent int) {
	g.t.Helper()
	window := h.bufAlloc
	text := long(4 << 20)
	for fwdCount := uint32(0); ; {
		free := int(window - (uint32(sent) - fwdCount))
		if free <= 0 {
			return sent
		}
		n := min(free, 4096)
		g.send(reply(h, opData), text[sent:sent+n])
		sent += n
		g.sync(func(u header) {
			if u.srcPort == h.srcPort && u.dstPort == h.dstPort && u.op == opCreditUpdate {
				window, fwdCount = u.bufAlloc, u.fwdCount
			}
		})
	}
}

// sync returns once the device has nothing more to send for now, after all it
// sent was handed to got. The first of two resets may overtake what a
// connection has to say.
func (g *guest) sync(got func(header)) {
	g.t.Helper()
	const nobody = 0xffff_fff0
	for range 2 {
		g.send(header{srcPort: nobody, dstPort: nobody, op: opCreditRequest}, "")
		for {
			h, _ := g.receive()
			if h.op == opReset && h.srcPort == nobody {
				break
			}
			got(h)
		}
	}
}

func (h header) with(o op) header { h.op = o; return h }

func (g *guest) noFailures() {
	g.t.Helper()
	if f := g.Failures(); len(f) > 0 {
		g.t.Errorf("device asked for a reset: %v", f)
	}
}

func long(n int) string { return strings.Repeat("bulkhead", n/8+1)[:n] }
