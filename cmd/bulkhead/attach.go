package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
)

// attachment ties a command in the guest to this process.
type attachment struct {
	options  *runOptions
	signals  *signals
	terminal *terminal
	result   *result
}

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

// connect carries the command's stdio until each stream ends.
func (a *attachment) connect(p *guest.Process, t *node.Timings) (*copying, error) {
	if a.options.interactive {
		if err := a.terminal.makeRaw(); err != nil {
			return nil, err
		}
		go func() {
			io.Copy(p.Stdin, os.Stdin) // ends with either side
			p.Stdin.CloseWrite()
		}()
	}
	c := &copying{done: make(chan struct{})}
	first := sync.OnceFunc(func() { t.Mark("first output") })
	c.group.Go(func() { c.deliver(&lineKeeper{os.Stdout, &a.result.midLine}, p.Stdout, first) })
	if p.Stderr != nil {
		c.group.Go(func() { c.deliver(os.Stderr, p.Stderr, first) })
	}
	go func() {
		c.group.Wait()
		close(c.done)
	}()
	return c, nil
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

// deliver copies output. Where nobody reads it any more, the guest's end is
// closed too, which the command notices as in a pipeline.
func (c *copying) deliver(to io.Writer, from io.ReadCloser, first func()) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			first()
			if _, err := to.Write(buf[:n]); err != nil {
				if !errors.Is(err, syscall.EPIPE) {
					c.failed.Store(&err)
				}
				from.Close()
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// terminal is this process's terminal, lent to the command. A nil one is none.
type terminal struct {
	fd    int
	saved *term.State
}

// openTerminal returns the terminal that -t asks for.
func openTerminal(o *runOptions) (*terminal, error) {
	if !o.tty {
		return nil, nil
	}
	return &terminal{fd: int(os.Stdin.Fd())}, nil
}

// size returns the terminal's size, nil if there is no terminal.
func (t *terminal) size() *guest.Size {
	if t == nil {
		return nil
	}
	columns, rows, err := term.GetSize(t.fd)
	if err != nil {
		return &guest.Size{Rows: 24, Columns: 80} // -t without a terminal, as in scripts
	}
	return &guest.Size{Rows: uint32(rows), Columns: uint32(columns)}
}

// makeRaw leaves every key to the guest's terminal.
func (t *terminal) makeRaw() (err error) {
	if t == nil || !term.IsTerminal(t.fd) {
		return nil
	}
	t.saved, err = term.MakeRaw(t.fd)
	return err
}

func (t *terminal) restore() {
	if t != nil && t.saved != nil {
		term.Restore(t.fd, t.saved) // the terminal is there: it was made raw
	}
}
