package virtio

// Loop is the goroutine that serves one queue.
type Loop struct {
	q    *Queue
	done chan struct{}
}

// StartLoop calls serve now and each time the driver kicks q. An error of
// serve goes to fail and ends the loop.
func StartLoop(q *Queue, serve func() error, fail func(error)) *Loop {
	l := &Loop{q: q, done: make(chan struct{})}
	q.stopping.Store(false)
	q.stop = make(chan struct{})
	go l.run(serve, fail)
	return l
}

func (l *Loop) run(serve func() error, fail func(error)) {
	defer close(l.done)
	for !l.q.stopping.Load() {
		if err := serve(); err != nil {
			fail(err)
			return
		}
		if _, err := l.q.Kick.Wait(); err != nil {
			return // closed: the machine is going away
		}
	}
}

// Stop ends the loop and waits for it. A nil Loop is stopped already.
func (l *Loop) Stop() {
	if l == nil {
		return
	}
	l.q.stopping.Store(true)
	close(l.q.stop)
	l.q.Kick.Signal() // fails only if closed, which ends the loop as well
	<-l.done
}
