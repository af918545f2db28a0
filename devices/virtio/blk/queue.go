package blk

import (
	"sync"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
)

// maxLanes is how many requests of a queue wait for the disk at once.
const maxLanes = 16

// queue serves one virtqueue: its loop takes requests and carries out those
// that need no disk; the others go to lanes, goroutines that come into being as
// they are needed.
type queue struct {
	dev          *Device
	q            *virtio.Queue
	writeThrough bool

	loop    *virtio.Loop
	next    *request // the loop's
	free    chan *request
	waiting chan *request // for a lane
	lanes   int           // the loop's
	running sync.WaitGroup
	busy    sync.WaitGroup // for requests that lanes have
}

func startQueue(d *Device, vq *virtio.Queue, writeThrough bool, fail func(error)) *queue {
	q := &queue{
		dev: d, q: vq, writeThrough: writeThrough,
		next: new(request), free: make(chan *request, maxLanes), waiting: make(chan *request),
	}
	q.loop = virtio.StartLoop(vq, func() error { return vq.Drain(q.one) }, fail)
	return q
}

// pause returns when nothing is in flight, and nothing will be until resume.
func (q *queue) pause() {
	q.loop.Pause()
	q.busy.Wait()
}

func (q *queue) resume() { q.loop.Resume() }

// stop returns when nothing is in flight any more.
func (q *queue) stop() {
	q.loop.Stop()
	close(q.waiting)
	q.running.Wait()
}

// one takes a request and carries it out or has a lane do so.
func (q *queue) one() (more bool, err error) {
	r := q.next
	ok, err := q.q.Pop(&r.chain)
	if !ok || err != nil {
		return false, err
	}
	if err := r.parse(); err != nil {
		return false, err
	}
	if !q.q.Pass(q.dev.limit, r.operations(), r.bytes()) {
		q.q.Undo()
		return false, nil
	}
	if status, done := q.start(r); done {
		q.q.Push(r.chain.Head, r.finish(status))
		return true, nil
	}
	q.send(r)
	q.next = q.spare()
	return true, nil
}

// send gives r to a lane that has nothing to do, to a new one, or to the first
// that is done.
func (q *queue) send(r *request) {
	q.busy.Add(1)
	select {
	case q.waiting <- r:
		return
	default:
	}
	if q.lanes < maxLanes {
		q.lanes++
		q.running.Go(func() { q.lane(r) })
		return
	}
	q.q.Flush() // what is done already must not wait
	q.waiting <- r
}

// lane carries out r and what comes after it.
func (q *queue) lane(r *request) {
	for ok := true; ok; r, ok = <-q.waiting {
		q.q.Push(r.chain.Head, r.finish(q.finish(r)))
		q.q.Flush()
		q.busy.Done()
		q.free <- r // never full: there are maxLanes+1 requests, and the loop has one
	}
}

// spare returns a request that nobody uses.
func (q *queue) spare() *request {
	select {
	case r := <-q.free:
		return r
	default:
		return new(request) // of which there are as many as lanes
	}
}
