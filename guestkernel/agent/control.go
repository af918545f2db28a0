package agent

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

const (
	// answerTime is how long the last answer has to be written.
	answerTime = 2 * time.Second
	// settleTime is for what was written to leave the guest.
	settleTime = 20 * time.Millisecond
)

// control is a listener that knows whether somebody has called, and when
// something was written to a caller.
type control struct {
	net.Listener
	accepted atomic.Int32
	written  chan struct{} // has a token after a write
}

func newControl(l net.Listener) *control {
	return &control{Listener: l, written: make(chan struct{}, 1)}
}

// Accept waits for a caller.
func (c *control) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.accepted.Add(1)
	return &controlConn{conn, c}, nil
}

// calls returns how many have called.
func (c *control) calls() int { return int(c.accepted.Load()) }

// thenAnswer returns a function that waits until an answer was written after
// this call of thenAnswer, or could have been, and calls do.
func (c *control) thenAnswer(do func()) func() {
	select {
	case <-c.written: // an earlier one
	default:
	}
	return func() {
		select {
		case <-c.written:
			time.Sleep(settleTime)
		case <-time.After(answerTime):
		}
		do()
	}
}

type controlConn struct {
	net.Conn
	control *control
}

// Read reads calls. A connection that broke is at its end, in whatever way: ttrpc
// waits for the answers of some that have nobody any more to go to.
func (c *controlConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		err = io.EOF
	}
	return n, err
}

// Write writes an answer.
func (c *controlConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	select {
	case c.control.written <- struct{}{}:
	default:
	}
	return n, err
}
