// Package tap is a network port of the guest on an existing tap interface of
// the host.
package tap

import (
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// HeaderSize is the size of the virtio_net_hdr_v1 in front of each frame, both
// ways; virtio 1.2, section 5.1.6.
const HeaderSize = 12

// Tap is an open tap interface with one or more queues, each a wire. On a wire,
// one goroutine may receive while another sends.
type Tap struct {
	name   string
	mtu    int
	lock   net.Listener // nobody calls it: it is there to be ours alone
	queues []*queue
	used   int // of them, attached
}

// maxQueues is how many queues are opened of a tap that has several.
const maxQueues = 8

// Open attaches to the tap interface called name, which must exist: to make
// one takes privileges that a VMM shouldn't have. Of a tap that was made with
// multi_queue it takes up to queues.
func Open(name string, queues int) (*Tap, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("tap interface %q does not exist: make it with \"ip tuntap add %s mode tap multi_queue && ip link set %s up\"", name, name, name)
	}
	inUse := fmt.Errorf("tap interface %q is in use by another process", name)
	// A tap with several queues would let a second guest have some of them. The
	// name is in no file system and belongs to the network namespace, as the
	// tap does.
	lock, err := net.Listen("unix", "@bulkhead/tap/"+name)
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, inUse
	}
	if err != nil {
		return nil, fmt.Errorf("tap interface %q: lock: %w", name, err)
	}
	t := &Tap{name: name, mtu: i.MTU, lock: lock, used: 1}
	// What kind it is shows when the wrong one is refused.
	err = t.open(1, 0)
	if errors.Is(err, unix.EINVAL) {
		err = t.open(min(max(queues, 1), maxQueues), unix.IFF_MULTI_QUEUE)
	}
	if err == nil {
		err = t.Use(1)
	}
	switch {
	case err == nil:
		return t, nil
	case errors.Is(err, unix.EBUSY):
		err = inUse
	case errors.Is(err, unix.EINVAL):
		err = fmt.Errorf("interface %q is not a tap: make one with \"ip tuntap add %s mode tap multi_queue\"", name, name)
	case errors.Is(err, unix.EPERM):
		err = fmt.Errorf("tap interface %q: %w: make it with \"ip tuntap add %s mode tap multi_queue user $USER\"", name, err, name)
	default:
		err = fmt.Errorf("tap interface %q: %w", name, err)
	}
	return nil, errors.Join(err, t.Close())
}

func (t *Tap) open(queues int, flags uint16) error {
	for range queues {
		q, err := openQueue(t.name, flags)
		if err != nil {
			return err
		}
		t.queues = append(t.queues, q)
	}
	t.used = len(t.queues)
	return nil
}

// MTU returns that of the interface when it was opened.
func (t *Tap) MTU() int { return t.mtu }

// Wires returns how many queues there are.
func (t *Tap) Wires() int { return len(t.queues) }

// Use has the host spread frames over the first n queues. It may not overlap
// itself.
func (t *Tap) Use(n int) error {
	for ; t.used < n && t.used < len(t.queues); t.used++ {
		if err := t.queues[t.used].attach(t.name, true); err != nil {
			return err
		}
	}
	for ; t.used > max(n, 1); t.used-- {
		if err := t.queues[t.used-1].attach(t.name, false); err != nil {
			return err
		}
	}
	return nil
}

// The bits of VIRTIO_NET_F_GUEST_*; virtio 1.2, section 5.1.3.
const (
	guestCsum = 1 << 1
	guestTSO4 = 1 << 7
	guestTSO6 = 1 << 8
	guestECN  = 1 << 9
)

// SetOffloads says which frames the guest takes that the host hasn't finished:
// bits of VIRTIO_NET_F_GUEST_*.
func (t *Tap) SetOffloads(features uint64) error {
	flags := 0
	for _, o := range []struct {
		feature uint64
		flag    int
	}{{guestCsum, unix.TUN_F_CSUM}, {guestTSO4, unix.TUN_F_TSO4}, {guestTSO6, unix.TUN_F_TSO6}, {guestECN, unix.TUN_F_TSO_ECN}} {
		if features&o.feature != 0 {
			flags |= o.flag
		}
	}
	if flags&unix.TUN_F_CSUM == 0 {
		flags = 0 // the rest means nothing without
	}
	// They are the interface's, whichever queue is asked.
	err := t.queues[0].control(func(fd int) error { return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, flags) })
	if err != nil {
		return fmt.Errorf("tap interface %q: set offloads: %w", t.name, err)
	}
	return nil
}

// Receive waits for a frame and reads it, header first, into what bufs
// returns, which it asks each time that it looks for a frame. What doesn't fit
// is cut off. It calls idle before it waits, and fails with
// os.ErrDeadlineExceeded once Interrupt was called.
func (t *Tap) Receive(wire int, bufs func() [][]byte, idle func()) (int, error) {
	q := t.queues[wire]
	q.recv.more, q.recv.idle = bufs, idle
	return q.recv.run(q.raw.Read)
}

// Send writes one frame, header first. While the host's queue is full it
// waits, until Interrupt is called.
func (t *Tap) Send(wire int, bufs [][]byte) error {
	q := t.queues[wire]
	q.send.bufs = bufs
	_, err := q.send.run(q.raw.Write)
	return err
}

// Interrupt ends every Receive and Send, those to come included, until Rearm.
func (t *Tap) Interrupt() { t.setDeadline(time.Unix(1, 0)) }

// Rearm undoes Interrupt.
func (t *Tap) Rearm() { t.setDeadline(time.Time{}) }

func (t *Tap) setDeadline(at time.Time) {
	for _, q := range t.queues {
		q.f.SetDeadline(at) // can't fail: the poller knows the descriptor
	}
}

// Close detaches from the interface.
func (t *Tap) Close() (err error) {
	for _, q := range t.queues {
		err = errors.Join(err, q.f.Close())
	}
	return errors.Join(err, t.lock.Close())
}
