package vsock

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/backend/poll"
	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// burst is how many packets go one way before the other has its turn.
const burst = 64

// engine runs the device between Activate and Reset.
type engine struct {
	cid           uint64
	rx, tx, event *virtio.Queue // event may be nil
	fail, report  func(error)
	reported      *sync.Once
	linger        time.Duration // how long either end may take to answer

	poller    *poll.Poller
	wake      *eventfd.EventFD
	stopping  atomic.Bool
	resetting atomic.Bool // the transport is to be reset
	rest      rest
	done      chan struct{}

	// The rest belongs to the engine's goroutine.
	doors     []*door
	tokens    map[uint64]source
	nextToken uint64
	conns     map[key]*conn // those that the guest has a part in
	ready     turns         // those with something for the guest
	replies   replies
	timers    timers
	store     store
	pool      int    // bytes left for large windows
	sockets   int    // greetings and connections
	freed     bool   // there is room for another since doors were looked at
	lastPort  uint32 // the last host port given to a host process
	notice    notice

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
		cid:      d.cid,
		rx:       a.Queues[queueRX],
		tx:       a.Queues[queueTX],
		event:    a.Queues[queueEvent],
		fail:     a.Fail,
		report:   d.warn,
		reported: &d.warned,
		linger:   d.linger,
		rest:     newRest(),
		done:     make(chan struct{}),
		tokens:   make(map[uint64]source),
		conns:    make(map[key]*conn),
		pool:     windowPool,
		lastPort: firstHostPort - 1,
		txWork:   true,
		rxWork:   true,
	}
	for _, l := range d.listeners {
		e.doors = append(e.doors, newDoor(l, d.limit))
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

func (e *engine) start() {
	go func() {
		defer close(e.done)
		if err := e.run(); err != nil {
			e.hangUpAll() // nobody serves them from now on
			e.fail(err)
		}
	}()
}

// stop ends the engine and every connection, and waits for that.
func (e *engine) stop() {
	e.stopping.Store(true)
	e.wake.Signal() // can't fail: it is open
	e.resume()
	<-e.done
	e.hangUpAll()
	e.wake.Close()
	e.poller.Close()
}

// hangUpAll closes all sockets, of connections that the guest has left and of
// greetings, too.
func (e *engine) hangUpAll() {
	for _, c := range e.conns {
		e.hangUp(&c.socket)
	}
	for _, s := range e.tokens {
		switch s := s.(type) {
		case *conn:
			e.hangUp(&s.socket)
		case *greeting:
			e.hangUp(&s.socket)
		}
	}
}

// run serves events and queues in turn until the device is stopped or the
// guest breaks the protocol.
func (e *engine) run() error {
	for e.goOn() {
		busy, err := e.serveQueues()
		if err != nil {
			return err
		}
		e.letIn()
		events, err := e.next(busy)
		if err != nil {
			return err
		}
		for _, event := range events {
			if s, ok := e.tokens[event.Token]; ok {
				s.event(e, event.Ready)
			}
		}
		e.expire()
	}
	return nil
}

// serveQueues moves a burst of packets each way. It reports whether there may
// be more to do at once.
func (e *engine) serveQueues() (busy bool, err error) {
	if err := e.serveNotice(); err != nil {
		return false, err
	}
	if e.txWork {
		if err := e.fromGuest(); err != nil {
			return false, err
		}
	}
	if err := e.toGuest(); err != nil {
		return false, err
	}
	canRead := e.txWork && !e.replies.full()
	canSend := e.rxWork && e.owesGuest()
	return canRead || canSend, nil
}

func (e *engine) next(busy bool) ([]poll.Event, error) {
	if busy {
		return e.poller.Look()
	}
	return e.poller.Wait(e.timers.next())
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
