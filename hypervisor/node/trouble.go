package node

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/bulkhead-vm/bulkhead/hypervisor/clip"
	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
)

// trouble is why a pool has too few members.
type trouble struct {
	text  string        // empty: there is none
	room  bool          // the node has none
	wait  time.Duration // from the last failure on
	again time.Time     // when to make the next member
}

// couldNotMake is how long to wait after a failure to make a member.
func (p *pool) couldNotMake(err error) time.Duration {
	var known *fault.Error
	room := errors.As(err, &known) && known.Reason == fault.ReasonNoRoom
	p.failed("no member can be made: "+err.Error(), room)
	return p.untilAgain()
}

// failed has the pool wait before it makes another member, the longer the more often.
// Failures of members that came up together count once.
func (p *pool) failed(why string, room bool) {
	why = clip.Text(why, maxMessage) // workers have a say in it
	p.mu.Lock()
	t := &p.trouble
	if !t.again.After(time.Now()) {
		t.wait = min(max(2*t.wait, firstRefillWait), mostRefillWait)
		t.again = time.Now().Add(t.wait)
	}
	news := t.text != why
	t.text, t.room = why, room
	wait := t.wait
	p.mu.Unlock()
	if news {
		p.log.Warn("too few members", zap.String("problem", why), zap.Duration("wait", wait))
	}
}

// say has clients read what is in the pool's way, which nothing is to be done about.
func (p *pool) say(problem string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trouble = trouble{text: problem}
}

// rested is for a pool that is filled again: what was said of its rest isn't true.
func (p *pool) rested() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trouble.wait == 0 {
		p.trouble.text = ""
	}
}

// forgetTrouble is for a pool that has a member more, all of them, or another purpose.
func (p *pool) forgetTrouble() { p.say("") }

// untilAgain returns how long to wait before another member is made.
func (p *pool) untilAgain() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Until(p.trouble.again)
}

// roomAgain has the pool not wait any longer for room on the node.
func (p *pool) roomAgain() {
	p.mu.Lock()
	waits := p.trouble.room
	if waits {
		p.trouble.again = time.Time{}
	}
	p.mu.Unlock()
	if waits {
		p.wake()
	}
}

// wakePools has all pools look what there is to do.
func (n *Node) wakePools() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pools {
		p.roomAgain()
		p.wake()
	}
}

// release takes a sandbox's share of the node back, for whoever waits for some.
func (n *Node) release(host string) {
	n.ledger.Release(host)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pools {
		p.roomAgain()
	}
}
