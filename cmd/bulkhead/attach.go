package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// attachment ties a command in a guest to this process.
type attachment struct {
	*session
	terminal *terminal
	// looks has signals end this process, and not reach the command.
	looks bool
	// keys leave a command with a terminal. detached is closed when they came.
	keys     []byte
	detached chan struct{}
}

// run runs the command with this process's stdio.
func (a *attachment) run(ctx context.Context, c *bulkheadv1.Command) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // which ends the command
	clock := a.clock()
	p, err := a.exec(ctx, c)
	if err != nil {
		return err
	}
	return a.stay(ctx, p, clock)
}

// attach connects the sandbox's own command with this process's stdio.
func (a *attachment) attach(ctx context.Context, logs bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, err := a.client.Attach(ctx, a.sandbox, logs)
	if err != nil {
		return a.explain(ctx, err)
	}
	a.detached = make(chan struct{})
	go a.redraw(ctx, p)
	err = a.stay(ctx, p, nil)
	if errors.Is(err, errDetached) {
		fmt.Fprintf(os.Stderr, "\nbulkhead: detached from %s, whose command goes on\n", a.sandbox)
		return nil
	}
	return err
}

// redraw gives the command's terminal this one's size. What draws there does so
// anew when the size changes, so it does.
func (a *attachment) redraw(ctx context.Context, p *client.Process) {
	size := a.terminal.ownSize()
	if size == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	p.Resize(ctx, &bulkheadv1.TerminalSize{Rows: size.Rows + 1, Columns: size.Columns}) // as far as the guest does
	p.Resize(ctx, size)
}

// stay is this process until the command's end.
func (a *attachment) stay(ctx context.Context, p *client.Process, clock <-chan time.Time) error {
	a.result.started = true
	a.result.mark("command started")
	copied, err := a.connectTo(p)
	if err != nil {
		return err
	}
	defer a.terminal.restore()
	exit, err := a.supervise(ctx, p, clock)
	if err != nil {
		if !errors.Is(err, errDetached) {
			copied.waitFor(lastWordsTime)
		}
		return err
	}
	a.result.mark("command ended")
	a.result.finish(exit)
	return a.drain(copied, clock)
}

// exec starts the command unless a signal comes first, or its time is up. The
// command ends with ctx.
func (a *attachment) exec(ctx context.Context, c *bulkheadv1.Command) (*client.Process, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	first, stop := a.signals.cancelOnFirst(context.Background())
	defer stop()
	defer context.AfterFunc(first, func() { cancel(context.Cause(first)) })()
	if t := a.options.timeout; t > 0 {
		defer time.AfterFunc(t, func() { cancel(a.timedOut()) }).Stop()
	}
	p, err := a.client.Exec(ctx, a.sandbox, c)
	if err != nil {
		return nil, a.explain(ctx, err)
	}
	return p, nil
}

// connectTo carries the command's stdio until each stream ends.
func (a *attachment) connectTo(p *client.Process) (*copying, error) {
	if a.options.interactive {
		if err := a.terminal.makeRaw(); err != nil {
			return nil, err
		}
		go a.carryInput(p)
	}
	c := &copying{done: make(chan struct{})}
	first := sync.OnceFunc(func() { a.result.mark("first output") })
	unread := func() { p.Signal(context.Background(), int(syscall.SIGPIPE)) }
	c.group.Go(func() { c.deliver(&lineKeeper{os.Stdout, &a.result.midLine}, p.Stdout, first, unread) })
	c.group.Go(func() { c.deliver(os.Stderr, p.Stderr, first, unread) })
	go func() {
		c.group.Wait()
		close(c.done)
	}()
	return c, nil
}

// carryInput carries what this process is given, until either side ends.
func (a *attachment) carryInput(p *client.Process) {
	from := io.Reader(os.Stdin)
	if a.detached != nil && len(a.keys) > 0 && a.terminal.isRaw() {
		from = &detachReader{from: os.Stdin, keys: a.keys}
	}
	if _, err := io.Copy(p.Stdin, from); errors.Is(err, errDetached) {
		close(a.detached)
		return
	}
	p.Stdin.Close()
}
