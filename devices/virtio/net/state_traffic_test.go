package net_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/ratelimit"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/net"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/net/nettest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// numbered returns frame i of a wire and direction, of a length of its own below
// most. Its header is what arrives in one buffer.
func numbered(wire int, direction byte, i uint32, most int) []byte {
	random := rand.New(rand.NewPCG(uint64(i), uint64(wire)<<8|uint64(direction)))
	b := make([]byte, 12+8+random.IntN(most))
	binary.LittleEndian.PutUint32(b[12:], i)
	b[16], b[17] = byte(wire), direction
	for at := 20; at < len(b); at++ {
		b[at] = byte(random.Uint32())
	}
	return b
}

const outward, inward = 1, 2

// lane is the driver's side of one wire.
type lane struct {
	t         testing.TB
	wire      int
	rx, tx    *vqtest.Driver
	posted    map[uint16]vqtest.Buffer // receive buffers
	spare     []vqtest.Buffer          // receive buffers to post
	out       []vqtest.Buffer          // transmit buffers that nobody uses
	sending   map[uint16]vqtest.Buffer
	sent, got uint32
	frames    uint32 // each way
	most      int    // bytes of each, more or less
	parts     []byte // of a frame that comes in several buffers
	left      int    // buffers of it to come
}

func newLane(h *virtiotest.Harness, t testing.TB, wire int, frames uint32, most, buffer int) *lane {
	l := &lane{t: t, wire: wire, rx: h.Queues[2*wire], tx: h.Queues[2*wire+1], frames: frames, most: most,
		posted: make(map[uint16]vqtest.Buffer), sending: make(map[uint16]vqtest.Buffer)}
	for range l.rx.Config.Size {
		l.spare = append(l.spare, l.rx.In(buffer))
	}
	for range l.tx.Config.Size / 2 {
		l.out = append(l.out, l.tx.Out(make([]byte, 12+8+most)))
	}
	return l
}

// step does what there is to do, in part. It reports whether all frames are
// through.
func (l *lane) step(h *virtiotest.Harness, random *rand.Rand) (done bool) {
	l.t.Helper()
	if n := min(random.IntN(8), len(l.spare)); n > 0 {
		for _, b := range l.spare[len(l.spare)-n:] {
			l.posted[l.rx.Add(b)] = b
		}
		l.spare = l.spare[:len(l.spare)-n]
		h.Kick(2 * l.wire)
	}
	for head, n, ok := l.rx.Used(); ok; head, n, ok = l.rx.Used() {
		l.received(l.posted[head], n)
		delete(l.posted, head)
	}
	for n := random.IntN(5); n > 0 && l.sent < l.frames && len(l.out) > 0; n-- {
		l.send(numbered(l.wire, outward, l.sent, l.most))
		h.Kick(2*l.wire + 1)
	}
	for head, _, ok := l.tx.Used(); ok; head, _, ok = l.tx.Used() {
		l.out = append(l.out, l.sending[head])
		delete(l.sending, head)
	}
	return l.sent == l.frames && l.got == l.frames && len(l.sending) == 0
}

func (l *lane) send(frame []byte) {
	b := l.out[len(l.out)-1]
	l.out = l.out[:len(l.out)-1]
	copy(l.tx.Bytes(b), frame)
	l.sending[l.tx.Add(vqtest.Buffer{GPA: b.GPA, Len: uint32(len(frame))})] = b
	l.sent++
}

func (l *lane) received(b vqtest.Buffer, n uint32) {
	l.t.Helper()
	l.spare = append(l.spare, b)
	part := l.rx.Bytes(b)[:n]
	if l.left == 0 {
		l.left, l.parts = int(binary.LittleEndian.Uint16(part[10:])), nil
	}
	l.parts = append(l.parts, part...)
	if l.left--; l.left > 0 {
		return
	}
	clear(l.parts[10:12])
	if want := numbered(l.wire, inward, l.got, l.most); !bytes.Equal(l.parts, want) {
		l.t.Fatalf("wire %d: frame %d to the guest came as %d bytes, number %d",
			l.wire, l.got, len(l.parts), binary.LittleEndian.Uint32(l.parts[12:]))
	}
	l.got++
}

// exchange is the host's side of a wire, at a pace of its own. It ends with the
// last frame.
func exchange(p *nettest.Port, wire int, frames uint32, most int) error {
	feed := make(chan struct{})
	go func() {
		defer close(feed)
		for i := range frames {
			p.ToGuest(wire) <- numbered(wire, inward, i, most)
			if i%64 == 0 {
				time.Sleep(time.Millisecond) // the guest's buffers wait
			}
		}
	}()
	for i := range frames {
		if i%50 == 0 {
			time.Sleep(time.Millisecond) // the wire is full
		}
		select {
		case got := <-p.FromGuest(wire):
			if want := numbered(wire, outward, i, most); !bytes.Equal(got, want) {
				return fmt.Errorf("wire %d: frame %d of the guest came as %d bytes, number %d",
					wire, i, len(got), binary.LittleEndian.Uint32(got[12:]))
			}
		case <-time.After(20 * time.Second):
			return fmt.Errorf("wire %d: frame %d of the guest didn't come", wire, i)
		}
	}
	<-feed
	return nil
}

// TestSuspendUnderTraffic numbers frames both ways while the device is suspended
// again and again, and goes on itself or as another: none is lost, comes twice or
// too early.
func TestSuspendUnderTraffic(t *testing.T) {
	slow := func() *ratelimit.Limiter {
		return ratelimit.New(ratelimit.Config{Operations: ratelimit.Rate{PerSecond: 2000}})
	}
	// As few buffers as there may be at a time take frames of these lengths.
	for _, tt := range []struct {
		name         string
		wires        int
		features     uint64
		most, buffer int
		frames       uint32
		rx, tx       func() *ratelimit.Limiter
	}{
		{name: "plain", wires: 1, most: 1400, buffer: 1600, frames: 3000},
		{name: "merged", wires: 1, features: mergeable | guestCsum | guestTSO4, most: 1400, buffer: 400, frames: 800},
		{name: "event index", wires: 1, features: mergeable | 1<<29, most: 1000, buffer: 1600, frames: 3000},
		{name: "many wires", wires: 3, features: multiQueue | controlQueue | mergeable, most: 1000, buffer: 1600, frames: 1000},
		{name: "limited", wires: 1, features: mergeable, most: 1000, buffer: 1600, frames: 600, rx: slow, tx: slow},
	} {
		for _, transport := range virtiotest.Transports() {
			t.Run(tt.name+"/"+string(transport), func(t *testing.T) {
				t.Parallel()
				p := nettest.New(tt.wires)
				c := net.Config{Port: p}
				if tt.rx != nil {
					c.LimitRX, c.LimitTX = tt.rx(), tt.tx()
				}
				h := virtiotest.Start(t, newDevice(t, c), virtiotest.Options{
					Features: tt.features, MaxQueueSize: 64, Transport: transport,
				})
				suspendUnderTraffic(t, h, c, p, tt.frames, tt.most, tt.buffer)
			})
		}
	}
}

func newDevice(t testing.TB, c net.Config) *net.Device {
	t.Helper()
	dev, err := net.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return dev
}

func suspendUnderTraffic(t *testing.T, h *virtiotest.Harness, c net.Config, p *nettest.Port, frames uint32, most, buffer int) {
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	done := make(chan error, p.Wires())
	var lanes []*lane
	for wire := range p.Wires() {
		lanes = append(lanes, newLane(h, t, wire, frames, most, buffer))
		go func() { done <- exchange(p, wire, frames, most) }()
	}
	rests, moves := 0, 0
	for running, start := true, time.Now(); running; {
		running = false
		for _, l := range lanes {
			running = !l.step(h, random) || running
		}
		switch random.IntN(40) {
		case 0, 1, 2:
			rests++
			h.Suspend()
			checkPositions(t, h, h.Save().GetDevices()[0])
			h.Resume()
		case 3:
			moves++
			h.Suspend()
			m := h.Save()
			checkPositions(t, h, m.GetDevices()[0])
			h.Restore(newDevice(t, c), m)
		case 4, 5:
			time.Sleep(time.Duration(random.IntN(2000)) * time.Microsecond)
		default:
			runtime.Gosched()
		}
		if f := h.Failures(); len(f) > 0 {
			t.Fatal(f)
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("after a minute: %+v", lanes)
		}
	}
	for range p.Wires() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Logf("suspended %d times, moved %d times", rests, moves)
}

// checkPositions checks that the device holds no chain, and that its driver sees
// what it gave back.
func checkPositions(t *testing.T, h *virtiotest.Harness, s *statev1.Device) {
	t.Helper()
	for i, q := range s.GetQueues() {
		used := memory.Load16(h.Heap.Bytes(h.Queues[i].Config.Used, 4), 2)
		if q.GetNextAvail() != q.GetNextUsed() || q.GetNextUsed() != uint32(used) {
			t.Fatalf("queue %d: %d chains taken, %d given back, of which the driver sees %d", i, q.GetNextAvail(), q.GetNextUsed(), used)
		}
	}
}
