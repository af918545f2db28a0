package net

import (
	"bytes"
	"encoding/binary"

	"github.com/bulkhead-vm/bulkhead/devices/ratelimit"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// Commands of the control queue; section 5.1.6.5.
const (
	classRX       = 0
	classMAC      = 1
	classMQ       = 4
	classOffloads = 5

	commandMACTable  = 0
	commandMACSet    = 1
	commandPairsSet  = 0
	commandOffloads  = 0
	lastRXCommand    = 1  // those of VIRTIO_NET_F_CTRL_RX
	maxControlLength = 64 // what any command here looks at, and more

	ackOK  = 0
	ackErr = 1
)

// How often a guest may change the host's network configuration, which has one
// lock for the whole host, by commands or by starting anew. A driver sends some
// commands when it starts.
const (
	commandsPerSecond = 50
	commandBurst      = 100
)

// control serves the control queue.
type control struct {
	dev      *Device
	q        *virtio.Queue
	pairs    int
	features uint64
	own      []byte // the only address that may be set; nil: any

	chain virtqueue.Chain
	buf   [maxControlLength]byte
}

func newControl(d *Device, q *virtio.Queue, pairs int, features uint64) *control {
	return &control{dev: d, q: q, pairs: pairs, features: features, own: d.own()}
}

func newCommandLimit() *ratelimit.Limiter {
	return ratelimit.New(ratelimit.Config{Operations: ratelimit.Rate{PerSecond: commandsPerSecond, Burst: commandBurst}})
}

func (c *control) serve() error { return c.q.Drain(c.one) }

func (c *control) one() (more bool, err error) {
	if ok, err := c.q.Pop(&c.chain); !ok || err != nil {
		return false, err
	}
	n := c.chain.Read(c.buf[:])
	if n < 2 || c.chain.WriteLen() < 1 {
		return false, &virtqueue.ProtocolError{Section: "5.1.6.5", What: "command without class, number or room for the answer"}
	}
	if !c.q.Pass(c.dev.commands, 1, 0) {
		c.q.Undo()
		return false, nil
	}
	ack := byte(ackErr)
	if c.do(c.buf[0], c.buf[1], c.buf[2:n]) {
		ack = ackOK
	}
	c.chain.WriteAt([]byte{ack}, c.chain.WriteLen()-1)
	c.q.Push(c.chain.Head, 1)
	return true, nil
}

// do carries out a command. data may be cut off.
func (c *control) do(class, command byte, data []byte) bool {
	switch class {
	case classRX:
		// The guest gets all that the host's interface hands out: nothing is
		// filtered here, as section 5.1.6.5.1 allows.
		return c.features&featureControlRX != 0 && command <= lastRXCommand && len(data) == 1 && data[0] <= 1
	case classMAC:
		switch {
		case command == commandMACTable:
			return c.features&featureControlRX != 0 // likewise
		case c.features&featureControlMAC != 0 && command == commandMACSet && checkMAC(data) == nil && (c.own == nil || bytes.Equal(data, c.own)):
			c.dev.config.setMAC(data)
			return true
		}
	case classMQ:
		if c.features&featureMultiQueue == 0 || command != commandPairsSet || len(data) != 2 {
			return false
		}
		// Section 5.1.6.5.5: 1 to max_virtqueue_pairs.
		n := int(binary.LittleEndian.Uint16(data))
		return n >= 1 && n <= c.pairs && c.dev.port.use(n) == nil
	case classOffloads:
		if c.features&featureControlOffloads == 0 || command != commandOffloads || len(data) != 8 {
			return false
		}
		// Section 5.1.6.5.6.2: only what was negotiated.
		f := binary.LittleEndian.Uint64(data)
		return f&^(c.features&guestOffloads) == 0 && c.dev.port.setOffloads(f) == nil
	}
	return false
}
