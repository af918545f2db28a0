package net_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/ratelimit"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/net"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/net/nettest"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
)

const (
	csum, guestCsum    = 1 << 0, 1 << 1
	controlOffloads    = 1 << 2
	mtu                = 1 << 3
	guestTSO4          = 1 << 7
	hostTSO4, hostTSO6 = 1 << 11, 1 << 12
	hostECN, mergeable = 1 << 13, 1 << 15
	controlQueue       = 1 << 17
	controlRX          = 1 << 18
	multiQueue         = 1 << 22
	controlMAC         = 1 << 23
)

// head is a frame's header.
func head(flags, gso byte, headerLen, size, csumStart, csumOffset uint16) []byte {
	h := []byte{flags, gso}
	for _, v := range []uint16{headerLen, size, csumStart, csumOffset, 0} {
		h = binary.LittleEndian.AppendUint16(h, v)
	}
	return h
}

func TestTransmitHeader(t *testing.T) {
	const n = 100
	all := uint64(csum | hostTSO4 | hostTSO6 | hostECN)
	tests := []struct {
		name     string
		header   []byte
		features uint64
		ok       bool
	}{
		{"nothing", head(0, 0, 0, 0, 0, 0), 0, true},
		{"checksum", head(1, 0, 0, 0, 34, 16), csum, true},
		{"checksum at the end", head(1, 0, 0, 0, n-2, 0), csum, true},
		{"checksum over the end", head(1, 0, 0, 0, n-2, 1), csum, false},
		{"checksum far over the end", head(1, 0, 0, 0, 0xffff, 0xffff), csum, false},
		{"checksum, not negotiated", head(1, 0, 0, 0, 34, 16), 0, false},
		{"DATA_VALID, which is the device's", head(2, 0, 0, 0, 0, 0), all, false},
		{"unknown flag", head(0x80, 0, 0, 0, 0, 0), all, false},
		{"TCPv4", head(1, 1, 54, 1448, 34, 16), all, true},
		{"TCPv6", head(1, 4, 74, 1428, 54, 16), all, true},
		{"TCPv4 with ECN", head(1, 0x81, 54, 1448, 34, 16), all, true},
		{"ECN, not negotiated", head(1, 0x81, 54, 1448, 34, 16), csum | hostTSO4, false},
		{"TCPv6, not negotiated", head(1, 4, 74, 1428, 54, 16), csum | hostTSO4, false},
		{"UDP", head(1, 3, 42, 1448, 34, 6), all, false},
		{"unknown segmentation", head(1, 5, 42, 1448, 34, 6), all, false},
		{"segmentation without checksum", head(0, 1, 54, 1448, 0, 0), all, false},
		{"segments of nothing", head(1, 1, 54, 0, 34, 16), all, false},
		{"headers over the end", head(1, 1, n+1, 1448, 34, 16), all, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, w := start(t, tt.features)
			d := h.Queues[tx]
			sent := append(bytes.Clone(tt.header), bytes.Repeat([]byte{7}, n)...)
			d.Add(d.Out(sent))
			h.Kick(tx)
			if !tt.ok {
				h.WaitFailure()
				return
			}
			h.WaitUsed(tx)
			if got := <-w.FromGuest(0); !bytes.Equal(got, sent) {
				t.Errorf("the wire carried % x…", got[:12])
			}
		})
	}
}

// TestMergeable has a large frame come in small buffers, and small ones after
// it in those that were left.
func TestMergeable(t *testing.T) {
	h, w := startWires(t, 1, mergeable|guestCsum|guestTSO4, 64)
	d := h.Queues[rx]
	buffers := map[uint16][]byte{}
	for range 60 {
		b := d.In(1600)
		buffers[d.Add(b)] = d.Bytes(b)
	}
	h.Kick(rx)
	for _, size := range []int{64 << 10, 1, 5000} {
		sent := make([]byte, 12+size)
		for i := range size {
			sent[12+i] = byte(i * 7)
		}
		w.ToGuest(0) <- sent
		got := receive(h, buffers)
		binary.LittleEndian.PutUint16(sent[10:], uint16((len(sent)+1599)/1600))
		if !bytes.Equal(got, sent) {
			t.Fatalf("frame of %d bytes arrived as %d, header % x", size, len(got), got[:12])
		}
	}
}

// receive puts a frame together as a driver does.
func receive(h *virtiotest.Harness, buffers map[uint16][]byte) (frame []byte) {
	for left := 1; left > 0; left-- {
		id, n := h.WaitUsed(rx)
		if frame == nil {
			left = int(binary.LittleEndian.Uint16(buffers[id][10:]))
		}
		frame = append(frame, buffers[id][:n]...)
	}
	return frame
}

// TestTooFewBuffers offers room for small frames only.
func TestTooFewBuffers(t *testing.T) {
	h, w := start(t, mergeable|guestCsum|guestTSO4)
	d := h.Queues[rx]
	buffers := map[uint16][]byte{}
	for range 2 {
		b := d.In(1600)
		buffers[d.Add(b)] = d.Bytes(b)
	}
	h.Kick(rx)
	w.ToGuest(0) <- make([]byte, 10000)
	w.ToGuest(0) <- frame("fits")
	if got := receive(h, buffers); string(got[12:]) != "fits" {
		t.Errorf("received %d bytes", len(got))
	}
}

// command sends one command on the control queue and returns the answer.
func command(h *virtiotest.Harness, queue int, class, number byte, data ...byte) byte {
	d := h.Queues[queue]
	ack := d.In(1)
	h.Do(queue, d.Out(append([]byte{class, number}, data...)), ack)
	return d.Bytes(ack)[0]
}

func TestControl(t *testing.T) {
	h, w := startWires(t, 4, controlQueue|controlRX|controlMAC|multiQueue|controlOffloads|guestCsum|guestTSO4, 16)
	const queue = 8
	tests := []struct {
		name          string
		class, number byte
		data          []byte
		want          byte
	}{
		{"promiscuous", 0, 0, []byte{1}, 0},
		{"promiscuous, twice as much", 0, 0, []byte{2}, 1},
		{"receive mode that was not offered", 0, 2, []byte{1}, 1},
		{"MAC table", 1, 0, bytes.Repeat([]byte{0}, 200), 0},
		{"MAC", 1, 1, []byte{2, 1, 2, 3, 4, 5}, 0},
		{"multicast MAC", 1, 1, []byte{3, 1, 2, 3, 4, 5}, 1},
		{"short MAC", 1, 1, []byte{2, 1, 2}, 1},
		{"three pairs", 4, 0, []byte{3, 0}, 0},
		{"no pair", 4, 0, []byte{0, 0}, 1},
		{"five pairs", 4, 0, []byte{5, 0}, 1},
		{"half a number", 4, 0, []byte{1}, 1},
		{"hash", 4, 1, []byte{1, 0}, 1},
		{"offloads", 5, 0, []byte{guestCsum, 0, 0, 0, 0, 0, 0, 0}, 0},
		{"offloads not negotiated", 5, 0, []byte{0, 1, 0, 0, 0, 0, 0, 0}, 1},
		{"VLAN", 2, 0, []byte{1, 0}, 1},
		{"unknown class", 99, 0, nil, 1},
	}
	for _, tt := range tests {
		if got := command(h, queue, tt.class, tt.number, tt.data...); got != tt.want {
			t.Errorf("%s: answer %d, want %d", tt.name, got, tt.want)
		}
	}
	if w.Used() != 3 || w.Offloads() != guestCsum {
		t.Errorf("port uses %d wires with offloads %#x", w.Used(), w.Offloads())
	}
	var mac [6]byte
	h.Device.ReadConfig(0, mac[:])
	if mac != [6]byte{2, 1, 2, 3, 4, 5} {
		t.Errorf("MAC is % x", mac)
	}
	if len(h.Failures()) > 0 {
		t.Errorf("device asked for a reset: %v", h.Failures())
	}
	h.Queues[queue].Add(h.Queues[queue].Out([]byte{0}))
	h.Kick(queue)
	h.WaitFailure()
}

// TestPairs sends and receives on the last pair of queues.
func TestPairs(t *testing.T) {
	h, w := startWires(t, 3, multiQueue|controlQueue, 16)
	const lastRX, lastTX = 4, 5
	h.Do(lastTX, h.Queues[lastTX].Out(frame("out")))
	if got := <-w.FromGuest(2); string(got[12:]) != "out" {
		t.Errorf("sent %q", got[12:])
	}
	d := h.Queues[lastRX]
	b := d.In(2048)
	d.Add(b)
	h.Kick(lastRX)
	w.ToGuest(2) <- frame("in")
	if _, n := h.WaitUsed(lastRX); string(d.Bytes(b)[12:n]) != "in" {
		t.Errorf("received %q", d.Bytes(b)[12:n])
	}
}

// TestCommandFlood sends commands without a pause: they come to be answered no
// faster than the host's configuration may be changed.
func TestCommandFlood(t *testing.T) {
	h, _ := startWires(t, 1, controlQueue|controlRX, 16)
	const burst, more, perSecond = 100, 10, 50
	start := time.Now()
	for range burst + more {
		if command(h, 2, 0, 0, 1) != 0 {
			t.Fatal("refused")
		}
	}
	if took := time.Since(start); took < more*time.Second/perSecond/2 {
		t.Errorf("%d commands in %v", burst+more, took)
	}
}

// TestSegmentsCount limits what a guest sends: what the host makes of a frame
// counts, not the frame.
func TestSegmentsCount(t *testing.T) {
	const payload, segment, frames = 4800, 480, 10
	for what, c := range map[string]ratelimit.Config{
		"operations": {Operations: ratelimit.Rate{PerSecond: 100}},
		"bytes":      {Bytes: ratelimit.Rate{PerSecond: 53_400}}, // a tenth of what comes out
	} {
		limit := ratelimit.New(c)
		p := nettest.New(1)
		dev, err := net.New(net.Config{Port: p, LimitTX: limit})
		if err != nil {
			t.Fatal(err)
		}
		h := virtiotest.Start(t, dev, virtiotest.Options{Features: csum | hostTSO4, Memory: 1 << 20})
		d := h.Queues[tx]
		d.Add(d.Out(append(head(1, 1, 54, segment, 34, 16), make([]byte, 54+payload)...)))
		h.Kick(tx)
		h.WaitUsed(tx)
		<-p.FromGuest(0)
		// All but what the bucket held, 10 ms' worth, is owed: 90 ms.
		start := time.Now()
		for limit.Take(1, 0) > 0 {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(start); took < 70*time.Millisecond {
			t.Errorf("%s: %d frames cost %v", what, frames, took)
		}
	}
}

// TestTinySegments has a frame to be cut into segments that only cost the host:
// nobody sees it.
func TestTinySegments(t *testing.T) {
	h, w := start(t, csum|hostTSO4)
	d := h.Queues[tx]
	for _, size := range []uint16{47, 48} {
		d.Add(d.Out(append(head(1, 1, 54, size, 34, 16), make([]byte, 1000)...)))
		h.Kick(tx)
		h.WaitUsed(tx)
	}
	if got := binary.LittleEndian.Uint16((<-w.FromGuest(0))[4:]); got != 48 {
		t.Errorf("a frame in segments of %d bytes came out", got)
	}
}
