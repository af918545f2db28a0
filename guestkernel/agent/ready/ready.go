// Package ready tells the host that the agent takes calls.
package ready

import (
	"context"
	"errors"
	"io"
	"net"
	"time"
)

// Line is what the host is sent.
const Line = "bulkhead-agent/1 ready\n"

const (
	firstPause = 10 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Announcer tells the host.
type Announcer struct {
	// Dial connects to the host.
	Dial func(context.Context) (net.Conn, error)
	// Calls returns how often the host has called: when it has since the last
	// try, it needn't be told any more.
	Calls func() int
}

// Run tells the host, keeps the connection until the host closes it, and
// returns. A connection that breaks otherwise is that of a machine which was
// restored under another host, which is told as well.
func (a *Announcer) Run(ctx context.Context) {
	calls := 0
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if c, err := a.Dial(ctx); err == nil {
			if a.hold(ctx, c) {
				return
			}
			calls = a.Calls()
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		if a.Calls() > calls {
			return
		}
	}
}

// hold says the line and returns whether the host closed the connection.
func (a *Announcer) hold(ctx context.Context, c net.Conn) bool {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if _, err := c.Write([]byte(Line)); err != nil {
		return false
	}
	var b [64]byte
	for {
		if _, err := c.Read(b[:]); err != nil {
			return errors.Is(err, io.EOF) || ctx.Err() != nil
		}
	}
}
