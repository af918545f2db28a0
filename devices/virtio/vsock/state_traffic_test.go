package vsock

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// stream returns what goes one way over a connection to or from a guest port.
func stream(port uint32, direction uint64, n int) []byte {
	random := rand.NewChaCha8([32]byte{byte(port), byte(port >> 8), byte(direction)})
	b := make([]byte, n)
	random.Read(b)
	return b
}

const outward, inward = 1, 2

// end is the guest's of a connection.
type end struct {
	key
	open       bool
	delay      int // steps until it answers
	out, in    []byte
	sent, got  int
	alloc, fwd uint32 // the device's, as it last said
	told       int    // got when the device last heard
	hostDone   bool   // no more comes
	shut       uint32 // the flags of shutdown sent
	over       bool
}

const endWindow = 20_000

func (e *end) free() int { return int(e.alloc - (uint32(e.sent) - e.fwd)) }

// talker is a guest that has many connections, and sends as packets find room.
type talker struct {
	*guest
	random *rand.Rand
	size   int // bytes each way of each
	ends   map[key]*end
	wanted int // connections
	slots  []vqtest.Buffer
	busy   map[uint16]vqtest.Buffer
}

func newTalker(g *guest, size, wanted int) *talker {
	k := &talker{guest: g, random: rand.New(rand.NewPCG(rand.Uint64(), 0)), size: size, wanted: wanted,
		ends: make(map[key]*end), busy: make(map[uint16]vqtest.Buffer)}
	for range queueSize / 2 {
		k.slots = append(k.slots, g.Queues[queueTX].In(headerSize+4096))
	}
	return k
}

func (k *talker) add(x key) *end {
	e := &end{key: x, delay: k.random.IntN(50), out: stream(x.guestPort, outward, k.size), in: stream(x.guestPort, inward, k.size)}
	k.ends[x] = e
	return e
}

// step does what there is to do, in part. It reports whether all connections are
// over.
func (k *talker) step() (done bool) {
	k.t.Helper()
	for head, n, ok := k.Queues[queueRX].Used(); ok; head, n, ok = k.Queues[queueRX].Used() {
		b := k.buffers[head]
		delete(k.buffers, head)
		k.hear(k.Queues[queueRX].Bytes(b)[:n])
		k.post(b)
	}
	for head, _, ok := k.Queues[queueTX].Used(); ok; head, _, ok = k.Queues[queueTX].Used() {
		k.slots = append(k.slots, k.busy[head])
		delete(k.busy, head)
	}
	over := 0
	for _, e := range k.ends {
		if e.over {
			over++
		} else if len(k.slots) > 0 {
			k.speak(e)
		}
	}
	return over == k.wanted
}

// hear takes a packet.
func (k *talker) hear(raw []byte) {
	k.t.Helper()
	var h header
	h.decode((*[headerSize]byte)(raw))
	e := k.ends[key{guestPort: h.dstPort, hostPort: h.srcPort}]
	if e == nil && h.op == opRequest {
		e = k.add(key{guestPort: h.dstPort, hostPort: h.srcPort})
	}
	if e == nil || e.over {
		k.t.Fatalf("a packet of no connection: %+v", h)
	}
	e.alloc, e.fwd = h.bufAlloc, h.fwdCount
	switch h.op {
	case opRequest, opCreditUpdate:
	case opResponse:
		e.open = true
	case opCreditRequest:
		e.told = -endWindow // so that it is told
	case opData:
		if payload := raw[headerSize:]; !bytes.HasPrefix(e.in[e.got:], payload) {
			k.t.Fatalf("port %d: other bytes at %d of %d", e.guestPort, e.got, len(e.in))
		}
		e.got += int(h.len)
	case opShutdown:
		e.hostDone = e.hostDone || h.flags&shutdownSend != 0
	case opReset:
		e.over = true
		if e.got != len(e.in) || e.sent != len(e.out) {
			k.t.Fatalf("port %d: over with %d bytes in and %d out of %d", e.guestPort, e.got, e.sent, len(e.in))
		}
	}
}

// speak sends what e has to say next.
func (k *talker) speak(e *end) {
	switch {
	case !e.open && e.hostPort >= firstHostPort:
		if e.delay--; e.delay < 0 {
			e.open = true
			k.say(e, opResponse, 0, nil)
		}
	case !e.open:
	case e.got-e.told > endWindow/2:
		k.say(e, opCreditUpdate, 0, nil)
	case e.sent < len(e.out) && e.free() > 0:
		n := min(e.free(), len(e.out)-e.sent, 1+k.random.IntN(4096))
		k.say(e, opData, 0, e.out[e.sent:][:n])
		e.sent += n
	case e.sent == len(e.out) && e.shut == 0:
		e.shut = shutdownSend
		k.say(e, opShutdown, shutdownSend, nil)
	case e.shut == shutdownSend && e.hostDone && e.got == len(e.in):
		e.shut = shutdownBoth
		k.say(e, opShutdown, shutdownBoth, nil)
	}
}

func (k *talker) say(e *end, o op, flags uint32, payload []byte) {
	k.t.Helper()
	b := k.slots[len(k.slots)-1]
	k.slots = k.slots[:len(k.slots)-1]
	h := header{
		srcCID: k.cid, dstCID: HostCID, srcPort: e.guestPort, dstPort: e.hostPort, kind: typeStream,
		op: o, flags: flags, len: uint32(len(payload)), bufAlloc: endWindow, fwdCount: uint32(e.got),
	}
	e.told = e.got
	d := k.Queues[queueTX]
	raw := d.Bytes(b)
	h.encode((*[headerSize]byte)(raw))
	copy(raw[headerSize:], payload)
	k.busy[d.Add(vqtest.Buffer{GPA: b.GPA, Len: uint32(headerSize + len(payload))})] = b
	k.Kick(queueTX)
}

// asker is a host process that connects to a guest port, haltingly.
func asker(path string, port uint32, size int) error {
	time.Sleep(time.Duration(port%100) * time.Millisecond)
	c, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	for _, part := range []string{"CON", fmt.Sprintf("NECT %d", port), "\n"} {
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		if _, err := io.WriteString(c, part); err != nil {
			return err
		}
	}
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); err != nil {
		return fmt.Errorf("port %d: answer %q: %w", port, line, err)
	}
	return exchange(c.(*net.UnixConn), r, port, size)
}

// exchange is the host's end of a connection to a guest port.
func exchange(c *net.UnixConn, r io.Reader, port uint32, size int) error {
	wrote := make(chan error)
	go func() {
		_, err := c.Write(stream(port, inward, size))
		c.CloseWrite()
		wrote <- err
	}()
	b, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(b, stream(port, outward, size)) {
		err = fmt.Errorf("port %d: host process got %d other bytes, %v", port, len(b), err)
	}
	if w := <-wrote; w != nil {
		err = fmt.Errorf("port %d: %w", port, w)
	}
	return err
}

// TestSuspendUnderTraffic has many connections, made by either side, carry bytes
// both ways while the device is suspended again and again: all arrive.
func TestSuspendUnderTraffic(t *testing.T) {
	for _, transport := range virtiotest.Transports() {
		t.Run(string(transport), func(t *testing.T) {
			t.Parallel()
			suspendUnderTraffic(t, newGuestBehind(t, transport, func(*Device) {}))
		})
	}
}

func suspendUnderTraffic(t *testing.T, g *guest) {
	const each, size, hostPort = 12, 300_000, 9
	k := newTalker(g, size, 2*each)
	g.postEvents(8)
	l := g.listenHost(hostPort)
	l.SetDeadline(time.Now().Add(time.Minute))
	done := make(chan error, 2*each)
	for i := range uint32(each) {
		go func() { done <- asker(g.path, 1000+10*i, size) }()
	}
	go func() {
		for range each {
			c, err := l.AcceptUnix()
			if err != nil {
				done <- err
				continue
			}
			go func() { // it can't see the guest's port: the guest says it first
				done <- taker(c, size)
			}()
		}
	}()
	asked, rests := uint32(0), 0
	for start := time.Now(); !k.step(); {
		if asked < each && len(k.slots) > 0 && k.random.IntN(20) == 0 {
			k.say(k.add(key{guestPort: 2000 + asked, hostPort: hostPort}), opRequest, 0, nil)
			asked++
		}
		switch k.random.IntN(20) {
		case 0:
			rests++
			g.Suspend()
			g.checkPositions()
			time.Sleep(time.Duration(k.random.IntN(500)) * time.Microsecond)
			g.Resume()
		case 1:
			time.Sleep(time.Duration(k.random.IntN(500)) * time.Microsecond)
		default:
			runtime.Gosched()
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("not through after a minute; failures %v", g.Failures())
		}
	}
	for range 2 * each {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	g.noFailures()
	t.Logf("suspended %d times", rests)
}

// taker is a host process that a guest connected to, which it knows by what it
// says.
func taker(c *net.UnixConn, size int) error {
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	first := make([]byte, 16)
	if _, err := io.ReadFull(c, first); err != nil {
		return err
	}
	for port := uint32(2000); port < 2100; port++ {
		if bytes.Equal(stream(port, outward, len(first)), first) {
			return exchange(c, io.MultiReader(bytes.NewReader(first), c), port, size)
		}
	}
	return fmt.Errorf("a guest's connection begins with % x", first)
}

// checkPositions checks that the suspended device holds no chain, and that its
// driver sees what it gave back.
func (g *guest) checkPositions() {
	g.t.Helper()
	for i, q := range g.Save().GetDevices()[0].GetQueues() {
		used := memory.Load16(g.Heap.Bytes(g.Queues[i].Config.Used, 4), 2)
		if q.GetNextAvail() != q.GetNextUsed() || q.GetNextUsed() != uint32(used) {
			g.t.Fatalf("queue %d: %d chains taken, %d given back, of which the driver sees %d", i, q.GetNextAvail(), q.GetNextUsed(), used)
		}
	}
}
