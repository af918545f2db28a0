package node

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// pool is one pool: a goroutine that sees that it has its members. What the pool is
// changes under Node.admission.
type pool struct {
	node *Node
	name string
	uid  string
	log  *zap.Logger

	record  atomic.Pointer[storev1.Pool] // as it was kept last; never changed
	deleted atomic.Bool
	wakeUp  chan struct{} // has a token when there may be something to do
	gone    chan struct{} // closed when its goroutine has ended

	warm, cold atomic.Uint64 // claims

	mu      sync.Mutex // the next one; no other lock is taken under it
	trouble trouble
}

// addPool begins a pool's goroutine, which ends with the node, or when the pool is
// deleted and its members are gone.
func (n *Node) addPool(r *storev1.Pool) (*pool, error) {
	p := &pool{
		node: n, name: r.GetPool().GetName(), uid: r.GetPool().GetUid(),
		log:    n.config.Log.With(zap.String("pool", r.GetPool().GetName())),
		wakeUp: make(chan struct{}, 1), gone: make(chan struct{}),
	}
	p.record.Store(r)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, errNodeClosing
	}
	n.pools[p.uid] = p
	n.running.Go(p.run)
	return p, nil
}

// wake has the pool's goroutine look what there is to do.
func (p *pool) wake() {
	select {
	case p.wakeUp <- struct{}{}:
	default:
	}
}

// allPools returns the pools in the order of their names, without those that are being
// deleted.
func (n *Node) allPools() (all []*pool) {
	n.mu.Lock()
	for _, p := range n.pools {
		if !p.deleted.Load() {
			all = append(all, p)
		}
	}
	n.mu.Unlock()
	slices.SortFunc(all, func(a, b *pool) int { return strings.Compare(a.name, b.name) })
	return all
}

// findPool returns the pool of a name.
func (n *Node) findPool(name string) (*pool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pools {
		if p.name == name && !p.deleted.Load() {
			return p, nil
		}
	}
	name = fmt.Sprintf("%.64s", name) // nobody's, and as long as a message may be
	return nil, poolFault(fault.NotFound, fault.ReasonNoPool, name, "there is no pool %q", name)
}

// poolOf returns a member's pool, nil if it is unknown.
func (n *Node) poolOf(s *sandbox) *pool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pools[s.pool]
}

// poolFault is an error about a pool.
func poolFault(kind fault.Kind, reason, name, format string, args ...any) *fault.Error {
	e := fault.New(kind, reason, name, format, args...)
	e.Resource = fault.ResourcePool
	return e
}

// shown is the pool as clients have it. They don't change it.
func (p *pool) shown() *bulkheadv1.Pool {
	shown := proto.CloneOf(p.record.Load().GetPool())
	status := &bulkheadv1.PoolStatus{WarmClaims: p.warm.Load(), ColdClaims: p.cold.Load()}
	for _, m := range p.node.membersOf(p.uid) {
		switch {
		case m.isReady():
			status.Ready++
		case m.isComing():
			status.Starting++
		}
	}
	p.mu.Lock()
	status.Problem = p.trouble.text
	p.mu.Unlock()
	shown.Status = status
	return shown
}
