package net

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// maxHeld and maxBuffers are how many chains, and buffers in them, one frame
// may be spread over: enough for the largest in buffers as small as frames get.
const maxHeld, maxBuffers = 64, 128

// refill is how long a guest that has too few buffers for the largest frame is
// given to make more, before smaller ones are received without.
const refill = time.Millisecond

// receiver takes frames from one wire of the port to the guest, straight into
// the buffers that the guest has made available.
type receiver struct {
	dev       *Device
	wire      int
	q         *virtio.Queue
	mergeable bool
	need      int // bytes for the largest frame that may come
	least     int // bytes that a buffer must have

	held  []*virtqueue.Chain // taken from the queue, in order
	spare []*virtqueue.Chain
	room  int // bytes in held
	bufs  [][]byte
	err   error // met by topUp
	given bool  // to the guest, since it last had time to make more available

	// Made once, so that a frame costs no allocation.
	buffers func() [][]byte // topUp
	flush   func()          // the queue's
}

func newReceiver(d *Device, wire int, q *virtio.Queue, features uint64) *receiver {
	r := &receiver{dev: d, wire: wire, q: q, mergeable: features&featureMergeable != 0, need: minBuffer, least: minBuffer}
	if mtu := int(d.c.MTU); mtu > 1500 {
		r.need = headerSize + ethernetHeader + mtu
	}
	if features&(featureGuestTSO4|featureGuestTSO6) != 0 {
		r.need = maxFrame - 4 // section 5.1.6.3.1 leaves out the VLAN tag
	}
	switch {
	case r.mergeable:
		r.least = headerSize
	case features&(featureMTU|featureGuestTSO4|featureGuestTSO6) != 0:
		r.least = r.need // else the driver can't know
	}
	r.buffers, r.flush = r.topUp, q.Flush
	return r
}

// serve receives until there are no buffers for more, or until the port is
// interrupted.
func (r *receiver) serve() error {
	for {
		if ok, err := r.gather(); !ok || err != nil {
			r.q.Flush()
			return err
		}
		n, err := r.dev.c.Port.Receive(r.wire, r.buffers, r.flush)
		if r.err != nil {
			return r.err
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			r.q.Flush()
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive from the host's network: %w", err)
		}
		cut := n == r.room && r.room < r.need
		if cut || n < headerSize || !r.dev.passes() {
			continue // lost, as frames may be
		}
		// One that can't pass before the device is to rest passes all the same:
		// it is nowhere but in these buffers.
		passed := r.q.Pass(r.dev.c.LimitRX, 1, n-headerSize)
		r.deliver(n)
		if !passed {
			r.q.Flush()
			return nil
		}
	}
}

// putBack leaves the chains held to whoever serves the queue next. The receiver is
// at rest.
func (r *receiver) putBack() {
	for range r.held {
		r.q.Undo()
	}
	r.spare = append(r.spare, r.held...)
	r.held, r.bufs, r.room = r.held[:0], r.bufs[:0], 0
}

// gather takes buffers for a frame from the queue, as many as the largest
// needs if there are. It reports false if there are too few for any, and the
// driver has promised to notify of the next.
func (r *receiver) gather() (bool, error) {
	r.q.DisableKicks()
	for {
		if err := r.take(); err != nil {
			return false, err
		}
		if r.full() {
			return true, nil
		}
		r.q.Flush()
		if r.room >= minBuffer {
			if !r.given {
				return true, nil // all there is; larger frames are lost
			}
			// The guest may be about to make more of what it was just given.
			r.given = false
			time.Sleep(refill)
			continue
		}
		if !r.q.EnableKicks() {
			return false, nil
		}
	}
}

// topUp returns the buffers for a frame, with what the guest has made
// available since they were gathered: a wait may have been long.
func (r *receiver) topUp() [][]byte {
	if r.err == nil {
		r.err = r.take()
	}
	return r.bufs
}

// take holds what is in the queue, up to what does for any frame.
func (r *receiver) take() error {
	for !r.full() {
		c := r.chain()
		ok, err := r.q.Pop(c)
		if err != nil {
			return err
		}
		if !ok {
			r.spare = append(r.spare, c)
			return nil
		}
		if err := r.hold(c); err != nil {
			return err
		}
	}
	return nil
}

// full reports whether what is held does for any frame.
func (r *receiver) full() bool {
	if !r.mergeable {
		return len(r.held) == 1
	}
	return r.room >= r.need || len(r.held) == maxHeld || len(r.bufs) >= maxBuffers
}

func (r *receiver) chain() *virtqueue.Chain {
	if n := len(r.spare); n > 0 {
		c := r.spare[n-1]
		r.spare = r.spare[:n-1]
		return c
	}
	return new(virtqueue.Chain)
}

func (r *receiver) hold(c *virtqueue.Chain) error {
	if c.WriteLen() < r.least {
		return &virtqueue.ProtocolError{Section: "5.1.6.3.1",
			What: fmt.Sprintf("receive buffer of %d bytes, need %d", c.WriteLen(), r.least)}
	}
	r.held = append(r.held, c)
	r.add(c)
	return nil
}

// add puts a chain's buffers behind the others, as many as one system call
// takes.
func (r *receiver) add(c *virtqueue.Chain) {
	for _, b := range c.Writable {
		if len(r.bufs) == maxBuffers {
			return
		}
		r.bufs = append(r.bufs, b)
		r.room += len(b)
	}
}

// deliver gives the frame of n bytes in the chains held to the guest, and keeps
// those that it doesn't fill; section 5.1.6.4.1.
func (r *receiver) deliver(n int) {
	r.given = true
	used, covered := 0, 0
	for covered < n {
		covered += r.held[used].WriteLen()
		used++
	}
	var count [2]byte
	binary.LittleEndian.PutUint16(count[:], uint16(used))
	r.held[0].WriteAt(count[:], offNumBuffers)
	for _, c := range r.held[:used] {
		filled := min(n, c.WriteLen())
		n -= filled
		r.q.Push(c.Head, uint32(filled))
	}
	r.spare = append(r.spare, r.held[:used]...)
	r.held = append(r.held[:0], r.held[used:]...)
	r.bufs, r.room = r.bufs[:0], 0
	for _, c := range r.held {
		r.add(c)
	}
}
