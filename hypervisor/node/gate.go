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
	patient []chan struct{} // likewise, and let all others before them
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
	for _, queue := range []*[]chan struct{}{&g.waiting, &g.patient} {
		for g.inside < g.most && len(*queue) > 0 {
			g.inside++
			close((*queue)[0])
			*queue = (*queue)[1:]
		}
	}
}

// enter waits for a turn. It is over when leave is called, which may be done twice,
// or after startTurn. When ctx is done before it begins, it fails with ctx's cause.
func (g *gate) enter(ctx context.Context) (leave func(), err error) { return g.await(ctx, &g.waiting) }

// enterLast is enter for who has nobody waiting: its turn comes when no other waits.
func (g *gate) enterLast(ctx context.Context) (leave func(), err error) {
	return g.await(ctx, &g.patient)
}

func (g *gate) await(ctx context.Context, queue *[]chan struct{}) (leave func(), err error) {
	turn := make(chan struct{})
	g.mu.Lock()
	*queue = append(*queue, turn)
	g.admit()
	g.mu.Unlock()
	select {
	case <-turn:
	case <-ctx.Done():
		g.giveUp(turn, queue)
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
func (g *gate) giveUp(turn chan struct{}, queue *[]chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(*queue, turn); i >= 0 {
		*queue = slices.Delete(*queue, i, i+1)
		return
	}
	g.inside--
	g.admit()
}
