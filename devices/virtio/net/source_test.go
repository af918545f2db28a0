package net_test

import (
	"bytes"
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/net"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/net/nettest"
)

var (
	mine   = []byte{2, 0, 0, 0, 0, 1}
	others = []byte{2, 0, 0, 0, 0, 2}
)

// from returns a frame that comes from a MAC address, and goes to everybody.
func from(mac []byte, payload string) []byte {
	f := append(make([]byte, 12), bytes.Repeat([]byte{0xff}, 6)...)
	return append(append(append(f, mac...), 8, 0), payload...)
}

// TestOnlyOwn drops what the guest sends as somebody else, in whatever pieces.
func TestOnlyOwn(t *testing.T) {
	p := nettest.New(1)
	h := startState(t, net.Config{Port: p, MAC: mine, OnlyOwn: true}, allOfControl)
	d := h.Queues[tx]
	for at := 1; at < 30; at++ {
		bad, good := from(others, "as another"), from(mine, "as itself")
		h.Do(tx, d.Out(bad[:at]), d.Out(bad[at:]))
		h.Do(tx, d.Out(good[:at]), d.Out(good[at:]))
		if got := <-p.FromGuest(0); !bytes.Equal(got, good) {
			t.Fatalf("in pieces of %d and more: the wire carried %q", at, got)
		}
	}
	h.Do(tx, d.Out(from(mine, "")[:23])) // nobody can tell from whom
	h.Do(tx, d.Out(from(mine, "whole")))
	if got := <-p.FromGuest(0); !bytes.Equal(got, from(mine, "whole")) {
		t.Errorf("the wire carried %q", got)
	}
	if command(h, 2, 1, 1, others...) == 0 {
		t.Error("the guest has another address now")
	}
	if command(h, 2, 1, 1, mine...) != 0 {
		t.Error("the guest can't set the address that it has")
	}
}

// TestAnyAddress: where nobody minds, the guest sends as it likes.
func TestAnyAddress(t *testing.T) {
	p := nettest.New(1)
	h := startState(t, net.Config{Port: p, MAC: mine}, allOfControl)
	h.Do(tx, h.Queues[tx].Out(from(others, "bridged")))
	if got := <-p.FromGuest(0); !bytes.Equal(got, from(others, "bridged")) {
		t.Errorf("the wire carried %q", got)
	}
}

// TestOnlyOwnOfCopy has a driver go on at a device with an address of its own: what it
// sends by the one that it had is lost.
func TestOnlyOwnOfCopy(t *testing.T) {
	h := startState(t, net.Config{Port: nettest.New(1), MAC: others, OnlyOwn: true}, allOfControl)
	for _, c := range []struct{ given, want []byte }{{nil, others}, {mine, mine}} { // one that was made up stays
		p := nettest.New(1)
		h.Suspend()
		h.Restore(newDevice(t, net.Config{Port: p, MAC: c.given, OnlyOwn: true}), h.Save())
		for _, mac := range [][]byte{others, mine} {
			h.Do(tx, h.Queues[tx].Out(from(mac, "hello")))
		}
		if got := <-p.FromGuest(0); !bytes.Equal(got, from(c.want, "hello")) || len(p.FromGuest(0)) > 0 {
			t.Errorf("with the address % x: the wire carried % x, and %d more", c.given, got, len(p.FromGuest(0)))
		}
	}
}
