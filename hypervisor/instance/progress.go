package instance

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// readTime is how long a worker may take to read a snapshot through and to copy what it
// has of disks, before the machine runs: more than any disk takes.
const readTime = time.Hour

// progress is what Boot is doing, and until when it may.
type progress struct {
	end  context.CancelCauseFunc // of Boot's context
	late *time.Timer             // nil: it may take any time
	now  atomic.Pointer[string]
}

// begin returns Boot's context. over must be called.
func (p *progress) begin(ctx context.Context) (_ context.Context, over func()) {
	ctx, p.end = context.WithCancelCause(ctx)
	p.at("its worker was being asked")
	return ctx, func() {
		p.within(0, "")
		p.end(nil)
	}
}

// at says what is done from now on, as what follows "while".
func (p *progress) at(step string) { p.now.Store(&step) }

// within has Boot fail when limit is over, counted from now, in place of the limit
// before. 0: there is none. The error's format is for the limit and what was being done.
func (p *progress) within(limit time.Duration, format string) {
	if p.late != nil {
		p.late.Stop()
		p.late = nil
	}
	if limit > 0 {
		end := p.end // a call later has another
		p.late = time.AfterFunc(limit, func() { end(fmt.Errorf(format, limit, *p.now.Load())) })
	}
}

// Errors of limits.
const (
	notUp   = "the guest did not come up within %v, while %s: see what it does with its console's log"
	notOn   = "the guest did not go on within %v, while %s: see what it does with its console's log"
	notRead = "the machine could not be made of its snapshot within %v, while %s: the disk that the snapshot is on may not answer"
)
