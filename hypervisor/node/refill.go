package node

import (
	"time"

	"go.uber.org/zap"

	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const (
	// refillAtOnce is how many of a pool's members come up at a time.
	refillAtOnce = 4
	// firstRefillWait and mostRefillWait are how long after a failure a pool's next
	// member is made: at first, and when there are many in a row.
	firstRefillWait = time.Second
	mostRefillWait  = 5 * time.Minute
)

// run is the pool's goroutine.
func (p *pool) run() {
	defer close(p.gone)
	defer p.node.forgetPool(p)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		again := p.refill()
		if p.deleted.Load() && len(p.node.membersOf(p.uid)) == 0 {
			return
		}
		timer.Stop()
		if again > 0 {
			timer.Reset(again)
		}
		select {
		case <-p.wakeUp:
		case <-timer.C:
		case <-p.node.closing:
			return
		}
	}
}

func (n *Node) forgetPool(p *pool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.pools, p.uid)
}

// refill brings the pool nearer to the members that it is to have. It returns after how
// long to call it again, if nothing happens before. 0: never.
func (p *pool) refill() (again time.Duration) {
	want, resting := p.record.Load().GetPool(), p.node.draining.Load()
	size := int(want.GetSize())
	if resting || p.deleted.Load() {
		size = 0
	}
	have, coming := p.sortOut(want.GetTemplate(), size)
	switch {
	case resting:
		p.say("the node is being drained")
		return 0
	case have >= size:
		p.forgetTrouble()
		return 0
	}
	p.rested()
	if wait := p.untilAgain(); wait > 0 {
		return wait
	}
	for ; have < size && coming < refillAtOnce; have, coming = have+1, coming+1 {
		if err := p.make(want); err != nil {
			return p.couldNotMake(err)
		}
	}
	return 0 // but when the next is ready, or has ended
}

// sortOut retires members that are of another template than the pool's, or more than
// size: those first that aren't ready yet, and then the youngest. It returns how many are
// left, and how many of these aren't ready.
func (p *pool) sortOut(template string, size int) (have, coming int) {
	var ready, starting []*sandbox
	for _, m := range p.node.membersOf(p.uid) {
		switch {
		case m.seen.Load().GetSpec().GetTemplate() != template:
			m.retire("its pool has another template")
		case m.isReady():
			ready = append(ready, m)
		case m.isComing():
			starting = append(starting, m)
		}
	}
	all := append(ready, starting...)
	for _, m := range all[min(size, len(all)):] {
		m.retire("its pool has enough members")
	}
	have = min(size, len(all))
	return have, max(0, have-len(ready))
}

// make makes a member, unless the pool isn't to have it any more.
func (p *pool) make(want *bulkheadv1.Pool) error {
	n := p.node
	n.admission.Lock()
	defer n.admission.Unlock()
	if n.draining.Load() || p.deleted.Load() || p.record.Load().GetPool() != want {
		p.wake()
		return nil
	}
	t, err := n.template(want.GetTemplate())
	if err != nil {
		return err
	}
	s, err := n.pooledSpec(t)
	if err != nil {
		return err
	}
	r := newMember(want, s)
	if err := n.reserveFree(hostName(r), s); err != nil {
		return err
	}
	if err := n.config.Store.PutMember(cloneRecord(r), true); err != nil {
		n.ledger.Release(hostName(r))
		return err
	}
	p.log.Info("making a member", zap.String("member", r.GetSandbox().GetName()), zap.String("template", snapshots.Short(t.ID())))
	if _, ok := n.add(r, (*sandbox).launch); !ok {
		return errNodeClosing
	}
	return nil
}
