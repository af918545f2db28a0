package worker

import (
	"io"
	"sync"
	"time"
)

// tailSize is how much of the console's output is kept for reports.
const tailSize = 16 << 10

// console takes what the guest writes to its serial port: it keeps the end, and
// feeds everything to others without ever making the guest wait.
type console struct {
	mu    sync.Mutex // the rest; those of the feeds are taken under it
	tail  []byte
	feeds []*feed
}

// newConsole returns one that feeds out; nil: nobody.
func newConsole(out io.Writer) *console {
	c := new(console)
	if out != nil {
		c.add(out, 0)
	}
	return c
}

// add feeds out as well, until Close. pause is how long a line that isn't finished
// is waited for.
func (c *console) add(out io.Writer, pause time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.feeds = append(c.feeds, newFeed(out, pause))
}

// Write implements io.Writer. It doesn't block and doesn't fail.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tail = append(c.tail, p...); len(c.tail) > 2*tailSize {
		c.tail = append(c.tail[:0], c.tail[len(c.tail)-tailSize:]...)
	}
	for _, f := range c.feeds {
		f.put(p)
	}
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
	feeds := c.feeds
	c.feeds = nil
	c.mu.Unlock()
	for _, f := range feeds {
		f.close()
	}
	return nil
}
