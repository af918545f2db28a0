// Package transfer carries what files hold between the guest and the host, on
// the streams called "file" of package streams.
package transfer

import (
	"context"
	"sync"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

// maxTransfers is how many there may be at once.
const maxTransfers = 64

var errClosed = fail.Errorf(fail.Untimely, "the guest is being turned off")

// Transfers are those of a guest. Its methods may be called from any goroutine.
type Transfers struct {
	hub *streams.Hub

	ctx context.Context // of all transfers
	cut context.CancelCauseFunc

	mu    sync.Mutex
	count int
	none  chan struct{} // closed when count is 0 after Close
}

// New returns transfers over the streams of hub.
func New(hub *streams.Hub) *Transfers {
	ctx, cut := context.WithCancelCause(context.Background())
	return &Transfers{hub: hub, ctx: ctx, cut: cut, none: make(chan struct{})}
}

// Close cuts the transfers that are under way and refuses further ones. It
// returns when all have ended, or ctx has.
func (t *Transfers) Close(ctx context.Context) error {
	t.mu.Lock()
	t.cut(errClosed)
	t.settle()
	t.mu.Unlock()
	select {
	case <-t.none:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// settle notices that the last has ended. The caller holds t.mu.
func (t *Transfers) settle() {
	if t.count > 0 || t.ctx.Err() == nil {
		return
	}
	select {
	case <-t.none:
	default:
		close(t.none)
	}
}

// begin counts a transfer until end is called. ctx ends with the call's and with
// Close.
func (t *Transfers) begin(call context.Context, id string) (ctx context.Context, end func(), err error) {
	if err := streams.CheckID(id); err != nil {
		return nil, nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		return nil, nil, errClosed
	}
	if t.count >= maxTransfers {
		return nil, nil, fail.Errorf(fail.Exhausted, "%d files are being transferred, the most there may be: wait for one to end", t.count)
	}
	t.count++
	ctx, cancel := context.WithCancelCause(call)
	stop := context.AfterFunc(t.ctx, func() { cancel(context.Cause(t.ctx)) })
	return ctx, func() {
		stop()
		cancel(nil)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.count--
		t.settle()
	}, nil
}
