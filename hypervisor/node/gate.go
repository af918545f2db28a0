package node

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

// startTurn is the most that a start keeps others waiting: one that takes longer
// waits for something itself.
const startTurn = 10 * time.Second

// gate lets only some sandboxes start at a time, in the order in which they came:
// guests that come up share the host's processors, and many at once would each take
// as long as all of them, one after the other.
type gate struct {
	mu      sync.Mutex // no other lock is taken under it
	most    int
	inside  int
	waiting []chan struct{} // closed when it is their turn
}

// set changes how many may be inside. 0: as many as the host has processors.
func (g *gate) set(most int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.most = most; most == 0 {
		g.most = runtime.NumCPU()
	}
	g.admit()
}

// admit lets those in who may. The caller holds g.mu.
func (g *gate) admit() {
	for g.inside < g.most && len(g.waiting) > 0 {
		g.inside++
		close(g.waiting[0])
		g.waiting = g.waiting[1:]
	}
}

// enter waits for a turn. It is over when leave is called, which may be done twice,
// or after startTurn. When ctx is done before it begins, it fails with ctx's cause.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	turn := make(chan struct{})
	g.mu.Lock()
	g.waiting = append(g.waiting, turn)
	g.admit()
	g.mu.Unlock()
	select {
	case <-turn:
	case <-ctx.Done():
		g.giveUp(turn)
		return nil, context.Cause(ctx)
	}
	over := sync.OnceFunc(g.leave)
	late := time.AfterFunc(startTurn, over)
	return func() { late.Stop(); over() }, nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.admit()
}

// giveUp is for who waits no more, whose turn may just have come.
func (g *gate) giveUp(turn chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, turn); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		return
	}
	g.inside--
	g.admit()
}
