package vsock

import (
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/backend/poll"
	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

const (
	// maxConns bounds the connections of one guest, and what they hold.
	maxConns = 4096
	// maxReplies bounds the resets owed to packets that belong to no
	// connection.
	maxReplies = 256
	// maxReady bounds the connections in turn, those that are over included.
	maxReady = 2 * maxConns
	// maxHeld bounds the bytes held for host processes, all together.
	maxHeld = 64 << 20
	// burst is how many packets go one way before the other has its turn.
	burst = 64
)

// engine runs the device between Activate and Reset.
type engine struct {
	cid       uint64
	listeners []*listener
	rx, tx    *virtio.Queue
	fail      func(error)

	poller   *poll.Poller
	wake     *eventfd.EventFD
	stopping atomic.Bool
	done     chan struct{}

	// The rest belongs to the engine's goroutine.
	tokens    map[uint64]source
	nextToken uint64
	conns     map[key]*conn
	ready     []*conn // with something for the guest, in turn
	replies   []header
	held      int    // bytes of all connections' pending
	greetings int    // host processes that have yet to ask for a port
	lastPort  uint32 // the last host port given to one
	timers    bool   // some deadline is set
	acceptOff bool   // too many connections to accept more now

	txChain, rxChain virtqueue.Chain
	view             [][]byte
	txWork, rxWork   bool // the queue may have something
}

// source is whatever a descriptor belongs to.
type source interface {
	// event serves readiness, as flags of package poll.
	event(e *engine, ready uint32)
}

func newEngine(d *Device, a virtio.Activation) (*engine, error) {
	e := &engine{
		cid:       d.cid,
		listeners: d.listeners,
		rx:        a.Queues[queueRX],
		tx:        a.Queues[queueTX],
		fail:      a.Fail,
		done:      make(chan struct{}),
		tokens:    make(map[uint64]source),
		conns:     make(map[key]*conn),
		lastPort:  firstHostPort - 1,
		txWork:    true,
		rxWork:    true,
	}
	var err error
	if e.poller, err = poll.New(); err != nil {
		return nil, err
	}
	if e.wake, err = eventfd.New(); err != nil {
		return nil, errors.Join(err, e.poller.Close())
	}
	if err := e.watchAll(); err != nil {
		return nil, errors.Join(err, e.wake.Close(), e.poller.Close())
	}
	return e, nil
}

// watchAll adds what is there from the start.
func (e *engine) watchAll() error {
	bells := []struct {
		fd int
		do func()
	}{
		{e.wake.FD(), func() {}},
		{e.tx.Kick.FD(), func() { e.txWork = true }},
		{e.rx.Kick.FD(), func() { e.rxWork = true }},
	}
	for _, b := range bells {
		if _, err := e.watch(b.fd, poll.In, bell{b.fd, b.do}); err != nil {
			return err
		}
	}
	for _, l := range e.listeners {
		if _, err := e.watch(l.fd, poll.In|poll.Edge, l); err != nil {
			return err
		}
	}
	return nil
}

// watch makes s hear of fd. A token is never used twice, so an event that was
// on its way when its descriptor was closed finds nobody.
func (e *engine) watch(fd int, ready uint32, s source) (uint64, error) {
	e.nextToken++
	if err := e.poller.Add(fd, ready, e.nextToken); err != nil {
		return 0, err
	}
	e.tokens[e.nextToken] = s
	return e.nextToken, nil
}

// bell is an eventfd.
type bell struct {
	fd int
	do func()
}

func (b bell) event(*engine, uint32) {
	var count [8]byte
	unix.Read(b.fd, count[:]) // clear it; the number doesn't matter
	b.do()
}

func (e *engine) start() {
	go func() {
		defer close(e.done)
		if err := e.run(); err != nil {
			e.fail(err)
		}
	}()
}

// stop ends the engine and every connection, and waits for that.
func (e *engine) stop() {
	e.stopping.Store(true)
	e.wake.Signal() // can't fail: it is open
	<-e.done
	for _, c := range e.conns {
		unix.Close(c.fd)
	}
	for _, s := range e.tokens {
		if g, ok := s.(*greeting); ok {
			unix.Close(g.fd)
		}
	}
	e.wake.Close()
	e.poller.Close()
}

// run serves events and queues in turn until the device is stopped or the
// guest breaks the protocol.
func (e *engine) run() error {
	for !e.stopping.Load() {
		busy, err := e.serveQueues()
		if err != nil {
			return err
		}
		events, err := e.next(busy)
		if err != nil {
			return err
		}
		for _, event := range events {
			if s, ok := e.tokens[event.Token]; ok {
				s.event(e, event.Ready)
			}
		}
		if e.timers {
			e.expire(time.Now())
		}
	}
	return nil
}

// serveQueues moves a burst of packets each way. It reports whether there may
// be more to do at once.
func (e *engine) serveQueues() (busy bool, err error) {
	if e.txWork {
		if err := e.fromGuest(); err != nil {
			return false, err
		}
	}
	if err := e.toGuest(); err != nil {
		return false, err
	}
	canRead := e.txWork && !e.stalled()
	canSend := e.rxWork && e.owesGuest()
	return canRead || canSend, nil
}

func (e *engine) next(busy bool) ([]poll.Event, error) {
	if busy {
		return e.poller.Look()
	}
	var deadline time.Time
	if e.timers {
		deadline = time.Now().Add(tick)
	}
	return e.poller.Wait(deadline)
}
