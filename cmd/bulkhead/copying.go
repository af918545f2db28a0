package main

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// copying is the output on its way.
type copying struct {
	group  sync.WaitGroup
	done   chan struct{} // closed when all of it has arrived
	failed atomic.Pointer[error]
}

// waitFor gives the output some time to arrive.
func (c *copying) waitFor(d time.Duration) {
	select {
	case <-c.done:
	case <-time.After(d):
	}
}

// err returns why output was lost. That nobody reads it is no failure.
func (c *copying) err() error {
	if err := c.failed.Load(); err != nil {
		return fmt.Errorf("output lost: %w", *err)
	}
	return nil
}

// lineKeeper remembers whether what was written ends within a line.
type lineKeeper struct {
	io.Writer
	midLine *atomic.Bool
}

func (k *lineKeeper) Write(p []byte) (int, error) {
	if len(p) > 0 {
		k.midLine.Store(p[len(p)-1] != '\n')
	}
	return k.Writer.Write(p)
}

// deliver copies output. Where nobody reads it any more, the command hears of that
// as in a pipeline, by a signal, and what it writes all the same is dropped.
func (c *copying) deliver(to io.Writer, from io.Reader, first, unread func()) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && to != nil {
			first()
			if _, err := to.Write(buf[:n]); err != nil {
				if !errors.Is(err, syscall.EPIPE) {
					c.failed.Store(&err)
				}
				to = nil
				go unread()
			}
		}
		if err != nil {
			return
		}
	}
}
