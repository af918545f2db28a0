package stdio

import (
	"context"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

// Request says which streams a process needs.
type Request struct {
	ID       string
	Stdin    bool  // without a terminal; else it is /dev/null
	Terminal *Size // nil: pipes
	Owner    int   // the user ID whose pipes or terminal they are
	// Gone is called once if the host closes "stdio" altogether after Start and
	// before End, on a goroutine of its own. nil: the process isn't tied.
	Gone func()
}

// Open waits up to 10 seconds for the connections that r needs, which come from
// h, and makes the pipes or the terminal.
func Open(ctx context.Context, h *streams.Hub, r Request) (*IO, error) {
	if r.Terminal != nil {
		if err := r.Terminal.check(); err != nil {
			return nil, err
		}
	}
	p := &IO{child: [3]int{-1, -1, -1}, sent: make(chan struct{}), done: make(chan struct{})}
	p.drop = func() { h.Drop(r.ID, streams.Stdio, streams.Stderr) }
	if err := p.open(ctx, h, r); err != nil {
		p.Abort()
		return nil, err
	}
	return p, nil
}

func (p *IO) open(ctx context.Context, h *streams.Hub, r Request) (err error) {
	names := []string{streams.Stdio, streams.Stderr}
	if r.Terminal != nil {
		names = names[:1]
	}
	if p.streams, err = h.Links(ctx, r.ID, names...); err != nil {
		return err
	}
	if r.Gone != nil {
		if p.tie, err = newTie(p.streams[0], r.Gone); err != nil {
			return err
		}
	}
	if r.Terminal != nil {
		return p.openTerminal(h, *r.Terminal, r.Owner)
	}
	return p.openPipes(h, r.Stdin, r.Owner)
}
