package worker

import (
	"io"
	"sync"
)

const (
	// tailSize is how much of the console's output is kept for reports.
	tailSize = 16 << 10
	// backlogSize is how much waits for a reader that is slower than the
	// guest; more is dropped.
	backlogSize = 1 << 20

	dropNotice = "\r\n[console output dropped: its reader is too slow]\r\n"
)

// console takes what the guest writes to its serial port: it keeps the end,
// and passes everything on to out without ever making the guest wait.
type console struct {
	out io.Writer // nil: nobody reads

	mu      sync.Mutex
	more    sync.Cond
	tail    []byte
	backlog []byte
	dropped bool
	closed  bool
	done    chan struct{}
}

func newConsole(out io.Writer) *console {
	c := &console{out: out, done: make(chan struct{})}
	c.more.L = &c.mu
	if out == nil {
		close(c.done)
	} else {
		go c.forward()
	}
	return c
}

// Write implements io.Writer. It doesn't block and doesn't fail.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tail = append(c.tail, p...); len(c.tail) > 2*tailSize {
		c.tail = append(c.tail[:0], c.tail[len(c.tail)-tailSize:]...)
	}
	if c.out == nil || c.closed {
		return len(p), nil
	}
	switch {
	case len(c.backlog)+len(p) <= backlogSize:
		c.backlog = append(c.backlog, p...)
		c.dropped = false
	case !c.dropped:
		c.backlog = append(c.backlog, dropNotice...)
		c.dropped = true
	}
	c.more.Signal()
	return len(p), nil
}

// Tail returns the last of what was written.
func (c *console) Tail() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]byte(nil), c.tail[max(0, len(c.tail)-tailSize):]...)
}

// Close passes on what is left and ends.
func (c *console) Close() error {
	c.mu.Lock()
	c.closed = true
	c.more.Signal()
	c.mu.Unlock()
	<-c.done
	return nil
}

func (c *console) forward() {
	defer close(c.done)
	var chunk []byte
	for {
		c.mu.Lock()
		for len(c.backlog) == 0 && !c.closed {
			c.more.Wait()
		}
		chunk, c.backlog = c.backlog, chunk[:0]
		c.mu.Unlock()
		if len(chunk) == 0 {
			return
		}
		if _, err := c.out.Write(chunk); err != nil {
			c.stopForwarding()
			return
		}
	}
}

// stopForwarding is for a reader that has gone.
func (c *console) stopForwarding() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed, c.backlog = true, nil
}
