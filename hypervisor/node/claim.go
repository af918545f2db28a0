package node

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

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
	if before, err := n.repeated(r, c.client, c.made); err != nil {
		return nil, err
	} else if before != nil {
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
	record.Claim = &storev1.Claim{Pool: p.name, MustBeWarm: c.request.GetMustBeWarm()}
	if box, err := n.claimWarm(c, p, record); box != nil || err != nil {
		return box, err
	}
	return n.claimCold(c, p, record)
}

// made reports whether a sandbox is what the call asks for. One of which it isn't known
// from which pool it was claimed may be of any.
func (c *claiming) made(box *sandbox) bool {
	s := box.seen.Load().GetSpec()
	return spec.NamesTemplate(s) && (box.claimed == "" || box.claimed == c.request.GetPool()) && sameRequest(s, claimedSpec(c.request, s.GetTemplate()))
}

// claimedFrom returns the name of the pool that a sandbox was claimed from. A node that
// didn't keep that has left it where a member was ready.
func claimedFrom(r *storev1.Record) string {
	if c := r.GetClaim(); c != nil {
		return c.GetPool()
	}
	return r.GetSandbox().GetStatus().GetOrigin().GetPool()
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

// emptyWait is after how long a pool without a member that is ready may have one.
const emptyWait = time.Second

// poolEmpty is the error of a claim that must be warm.
func poolEmpty(pool, why string) error {
	e := poolFault(fault.Unavailable, fault.ReasonPoolEmpty, pool, "pool %q has no member that is ready%s: try again, or without must_be_warm", pool, why)
	e.RetryAfter = emptyWait
	return e
}

// claimCold has the sandbox of a record start as one that names the template: from the
// first, for nobody else starts it if this node can't.
func (n *Node) claimCold(c *claiming, p *pool, record *storev1.Record) (*sandbox, error) {
	if c.request.GetMustBeWarm() {
		return nil, poolEmpty(p.name, "")
	}
	record.Sandbox.Status.State, record.Sandbox.Status.StartTime = bulkheadv1.SandboxState_SANDBOX_STATE_STARTING, timestamppb.Now()
	return n.admitTo(record, claimMessage(p), func(s *sandbox) {
		s.counts = p
		s.await(c)
		s.launch()
	})
}
