package net

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

const offNumBuffers = 10 // of the header

// receiver takes frames from the port to the guest, straight into the buffers
// the guest has made available.
type receiver struct {
	port  Port
	q     *virtio.Queue
	chain virtqueue.Chain
	stop  atomic.Bool
	done  chan struct{}
}

func startReceiver(port Port, q *virtio.Queue, fail func(error)) *receiver {
	r := &receiver{port: port, q: q, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		if err := r.run(); err != nil {
			fail(err)
		}
	}()
	return r
}

// Stop ends the receiver and waits for it. The port must be interrupted. A nil
// receiver is stopped already.
func (r *receiver) Stop() {
	if r == nil {
		return
	}
	r.stop.Store(true)
	r.q.Kick.Signal() // fails only if closed, which ends run as well
	<-r.done
}

func (r *receiver) run() error {
	for {
		if ok, err := r.buffer(); !ok {
			return err
		}
		n, err := r.port.Receive(r.chain.Writable)
		if errors.Is(err, os.ErrDeadlineExceeded) || r.stop.Load() {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive from the host's network: %w", err)
		}
		r.deliver(n)
	}
}

// buffer waits for a receive buffer. It reports false when the receiver is to
// end.
func (r *receiver) buffer() (bool, error) {
	for !r.stop.Load() {
		r.q.DisableKicks()
		ok, err := r.q.Pop(&r.chain)
		if err != nil {
			return false, err
		}
		if ok {
			if r.chain.WriteLen() < minBuffer {
				return false, &virtqueue.ProtocolError{Section: "5.1.6.3.1",
					What: fmt.Sprintf("receive buffer of %d bytes, need %d", r.chain.WriteLen(), minBuffer)}
			}
			return true, nil
		}
		if r.q.EnableKicks() {
			continue
		}
		if _, err := r.q.Kick.Wait(); err != nil {
			return false, nil // closed: the machine is going away
		}
	}
	return false, nil
}

// deliver gives the frame of n bytes in r.chain to the guest.
func (r *receiver) deliver(n int) {
	var one [2]byte
	binary.LittleEndian.PutUint16(one[:], 1)
	r.chain.WriteAt(one[:], offNumBuffers) // section 5.1.6.4.1: 1 without MRG_RXBUF
	r.q.Push(r.chain.Head, uint32(n))
	r.q.Flush()
}
