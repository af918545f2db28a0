package virtio

// Loop is the goroutine that serves one queue. Its methods are for one goroutine
// at a time; a nil Loop is stopped.
type Loop struct {
	q      *Queue
	parked chan struct{} // sent when the loop has come to rest for now
	resume chan struct{} // sent when that is over
	done   chan struct{}
}

// StartLoop calls serve now and each time the driver kicks q. An error of
// serve goes to fail and ends the loop.
func StartLoop(q *Queue, serve func() error, fail func(error)) *Loop {
	l := &Loop{q: q, parked: make(chan struct{}), resume: make(chan struct{}), done: make(chan struct{})}
	q.rest.clear()
	go l.run(serve, fail)
	return l
}

func (l *Loop) run(serve func() error, fail func(error)) {
	defer close(l.done)
	for l.goOn() {
		if err := serve(); err != nil {
			fail(err)
			return
		}
		if _, err := l.q.Kick.Wait(); err != nil {
			return // closed: the machine is going away
		}
	}
}

// goOn rests for as long as is wanted and reports whether there is to be more.
func (l *Loop) goOn() bool {
	for {
		switch l.q.rest.want() { // once: it changes at any time
		case restForNow:
			l.parked <- struct{}{}
			<-l.resume
		case restNever:
			return true
		default:
			return false
		}
	}
}

// Pause returns when the loop rests: serve has returned, having left off between
// two chains. Resume or Stop must follow.
func (l *Loop) Pause() {
	if l == nil {
		return
	}
	l.ask(restForNow)
	select {
	case <-l.parked:
	case <-l.done: // it failed
	}
}

// Resume undoes Pause. The queue is served at once: it may have been kicked.
func (l *Loop) Resume() {
	if l == nil {
		return
	}
	l.q.rest.clear()
	l.wake()
}

// Stop ends the loop, paused or not, and waits for it.
func (l *Loop) Stop() {
	if l == nil {
		return
	}
	l.ask(restForGood)
	l.wake()
	<-l.done
}

func (l *Loop) ask(want int32) {
	l.q.rest.ask(want)
	l.q.Kick.Signal() // fails only if closed, which ends the loop as well
}

// wake lets a loop that rests look around, and returns at once for one that has
// ended. One that does neither is about to end.
func (l *Loop) wake() {
	select {
	case l.resume <- struct{}{}:
	case <-l.done:
	}
}
