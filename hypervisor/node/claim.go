package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// claiming is a call of Claim.
type claiming struct {
	*waiter
	request *bulkheadv1.ClaimSandboxRequest
	client  string
	timings *instance.Timings
	warm    bool
	// box is the sandbox, as the waiter's look saw it last.
	box *bulkheadv1.Sandbox
}

// Claim makes a sandbox of a pool for a client, of a member that is ready if there is
// one, and waits until it has started. It goes on when ctx ends.
func (n *Node) Claim(ctx context.Context, r *bulkheadv1.ClaimSandboxRequest, client string) (box *bulkheadv1.Sandbox, warm bool, err error) {
	if err := n.checkPools(); err != nil {
		return nil, false, err
	}
	if err := fault.InvalidRequest(spec.CheckClaim(r, n.limits.Load().Spec)); err != nil {
		return nil, false, err
	}
	c := &claiming{waiter: &waiter{ctx: ctx, told: make(chan error, 1)}, request: r, client: client, timings: new(instance.Timings)}
	c.timings.Mark("start")
	s, err := n.beginClaim(c)
	if err != nil {
		return nil, false, err
	}
	select {
	case err = <-c.told:
	case <-s.gone: // before it was asked
		if err = s.goneError(); len(c.told) > 0 {
			err = <-c.told
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, false, err
	}
	return c.box, c.warm, nil
}

// beginClaim makes the sandbox, or finds the one that the same request made, and has it
// tell the waiter.
func (n *Node) beginClaim(c *claiming) (*sandbox, error) {
	n.admission.Lock()
	defer n.admission.Unlock()
	r := &bulkheadv1.CreateSandboxRequest{Name: c.request.GetName(), RequestId: c.request.GetRequestId()}
	same := func(before *bulkheadv1.SandboxSpec) bool {
		return spec.NamesTemplate(before) && sameRequest(before, claimedSpec(c.request, before.GetTemplate()))
	}
	if before, err := n.repeated(r, c.client, same); err != nil {
		return nil, err
	} else if before != nil {
		c.warm = before.host != before.name
		before.post(func() { before.claimedAgain(c) })
		return before, nil
	}
	if n.draining.Load() {
		return nil, errDraining
	}
	if err := n.checkCount(c.client, 1, n.limits.Load().PerClient); err != nil {
		return nil, err
	}
	p, err := n.findPool(c.request.GetPool())
	if err != nil {
		return nil, err
	}
	s, err := n.specFor(p, c.request)
	if err != nil {
		return nil, err
	}
	record := newRecord(r, s, c.client)
	if box, err := n.claimWarm(c, p, record); box != nil || err != nil {
		return box, err
	}
	return n.claimCold(c, p, record)
}

// claimedSpec is what a claim asks for, of a pool with a template.
func claimedSpec(r *bulkheadv1.ClaimSandboxRequest, template string) *bulkheadv1.SandboxSpec {
	s := &bulkheadv1.SandboxSpec{}
	if r.GetSpec() != nil {
		s = proto.CloneOf(r.GetSpec())
	}
	s.Template = template
	return spec.WithDefaults(s)
}

// specFor completes the specification of a sandbox of a pool.
func (n *Node) specFor(p *pool, r *bulkheadv1.ClaimSandboxRequest) (*bulkheadv1.SandboxSpec, error) {
	t, err := n.template(p.record.Load().GetPool().GetTemplate())
	if err != nil {
		return nil, err
	}
	pooled, err := n.pooledSpec(t)
	if err != nil {
		return nil, err
	}
	s, wrong := spec.InheritTemplate(claimedSpec(r, t.ID()), t.Record.GetSnapshot().GetSpec())
	if len(wrong) == 0 {
		s.Template = t.ID()
		wrong = append(spec.CheckSaved(s, n.limits.Load().Spec), spec.CheckPooled(s, pooled)...)
	}
	return s, fault.InvalidRequest(wrong)
}

// claimWarm has the sandbox of a record be a member that is ready, in one step; it
// returns nil if there is none. The caller holds n.admission.
func (n *Node) claimWarm(c *claiming, p *pool, record *storev1.Record) (*sandbox, error) {
	for _, m := range n.membersOf(p.uid) {
		if !m.isReady() || m.seen.Load().GetSpec().GetTemplate() != record.GetSandbox().GetSpec().GetTemplate() {
			continue
		}
		member, err := m.handOver()
		if err != nil {
			continue // it is being removed, and replaced
		}
		c.warm = true
		return n.take(c, p, member, becoming(member, record, p.name))
	}
	return nil, nil
}

// becoming returns the record of a sandbox that a pool's member becomes: it is STARTING,
// with all that the member has.
func becoming(member, record *storev1.Record, pool string) *storev1.Record {
	r := cloneRecord(record)
	r.HostName, r.Worker, r.Links, r.Template = hostName(member), member.GetWorker(), member.GetLinks(), member.GetTemplate()
	r.Sandbox.Status = &bulkheadv1.SandboxStatus{
		State: bulkheadv1.SandboxState_SANDBOX_STATE_STARTING, StartTime: timestamppb.Now(),
		Origin: &bulkheadv1.SandboxOrigin{Template: member.GetTemplate(), Pool: pool},
	}
	return r
}

// take makes the sandbox of a record of a member that was handed over. If that can't be
// kept, the member goes on as one.
func (n *Node) take(c *claiming, p *pool, member, record *storev1.Record) (*sandbox, error) {
	change := store.Change{Type: bulkheadv1.EventType_EVENT_TYPE_ADDED, Message: fmt.Sprintf("claimed from pool %q", p.name), Optional: true}
	if _, err := n.config.Store.Claim(record, change); err != nil {
		n.add(member, (*sandbox).recover) // or the next node does
		return nil, noSpace(record.GetSandbox().GetName(), "the sandbox is not created", err)
	}
	p.warm.Add(1)
	box, ok := n.add(cloneRecord(record), func(s *sandbox) {
		s.timings = c.timings
		s.await(c)
		s.attach()
	})
	if !ok {
		return nil, errNodeClosing
	}
	return box, nil
}

// emptyWait is after how long a pool without a member that is ready may have one.
const emptyWait = time.Second

// claimCold has the sandbox of a record start as one that names the template.
func (n *Node) claimCold(c *claiming, p *pool, record *storev1.Record) (*sandbox, error) {
	if c.request.GetMustBeWarm() {
		e := poolFault(fault.Unavailable, fault.ReasonPoolEmpty, p.name, "pool %q has no member that is ready: try again, or without must_be_warm", p.name)
		e.RetryAfter = emptyWait
		return nil, e
	}
	box, err := n.admitTo(record, func(s *sandbox) {
		if err := s.startCommand(); err != nil {
			c.told <- err
			return
		}
		s.await(c)
	})
	if err != nil {
		return nil, err
	}
	p.cold.Add(1)
	return box, nil
}

// claimedAgain is for a claim that made the sandbox before. One whose first start was
// begun isn't started once more.
func (s *sandbox) claimedAgain(c *claiming) {
	if s.is(bulkheadv1.SandboxState_SANDBOX_STATE_CREATED) {
		if err := s.startCommand(); err != nil {
			c.told <- err
			return
		}
	}
	s.await(c)
}

// await has a claim hear when the sandbox has started, or that it didn't.
func (s *sandbox) await(c *claiming) {
	c.look = func() (bool, error) {
		c.box = s.seen.Load()
		switch s.state() {
		case bulkheadv1.SandboxState_SANDBOX_STATE_STARTING, bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING:
			return false, nil
		}
		if s.failure != nil || s.status().GetExit().GetReason() == bulkheadv1.ExitReason_EXIT_REASON_START_FAILED {
			return false, s.notStarted()
		}
		return true, nil
	}
	s.waiters = append(s.waiters, c.waiter)
}

// forgetClaim has the sandbox not go on from a pool's member any more, and reports
// whether it did.
func (s *sandbox) forgetClaim() bool {
	origin := s.status().GetOrigin()
	if origin.GetPool() == "" {
		return false
	}
	s.status().Origin = proto.CloneOf(origin)
	s.status().Origin.Pool, s.timings = "", nil
	s.keep("its pool's member is lost: starting from the template")
	return true
}

// isRestoreError reports whether an error is of a guest that couldn't go on.
func isRestoreError(err error) bool {
	var failed *instance.RestoreError
	return errors.As(err, &failed)
}
