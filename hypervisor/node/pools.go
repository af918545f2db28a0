package node

import (
	"crypto/rand"
	"fmt"
	"maps"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// CreatePool makes a pool for a client, who may do so again and again. It has no member
// yet.
func (n *Node) CreatePool(r *bulkheadv1.CreatePoolRequest, client string) (*bulkheadv1.Pool, error) {
	if err := n.checkPools(); err != nil {
		return nil, err
	}
	if err := fault.InvalidRequest(spec.CheckPool(r)); err != nil {
		return nil, err
	}
	n.admission.Lock()
	defer n.admission.Unlock()
	if before, err := n.pooledBefore(r, client); before != nil || err != nil {
		return before, err
	}
	template, err := n.poolTemplate(r.GetTemplate())
	if err != nil {
		return nil, err
	}
	record := &storev1.Pool{
		Pool: &bulkheadv1.Pool{
			Name: r.GetName(), Uid: rand.Text(), Labels: maps.Clone(r.GetLabels()), Template: template, Size: r.GetSize(),
			CreateTime: timestamppb.Now(), Client: client,
		},
		RequestId: r.GetRequestId(),
	}
	if err := n.checkMemberCount(record, nil); err != nil {
		return nil, err
	}
	if err := n.config.Store.PutPool(record); err != nil {
		return nil, poolSpace(r.GetName(), "is not created", err)
	}
	p, err := n.addPool(record)
	if err != nil {
		return nil, err
	}
	p.log.Info("pool created", zap.Uint32("size", r.GetSize()), zap.String("template", template))
	return p.shown(), nil
}

// checkPools fails on a node that can't have pools.
func (n *Node) checkPools() error {
	if !n.config.Tied {
		return nil
	}
	return fault.New(fault.Unimplemented, fault.ReasonNoPools, n.config.Name, "this node's sandboxes end with its program, and so would a pool's members: have a daemon keep the pool")
}

// pooledBefore returns the pool that the same request made, or the error if it was
// another. The caller holds n.admission.
func (n *Node) pooledBefore(r *bulkheadv1.CreatePoolRequest, client string) (*bulkheadv1.Pool, error) {
	for _, p := range n.allPools() {
		record := p.record.Load()
		before := record.GetPool()
		switch {
		case p.name == r.GetName() && before.GetClient() == client && record.GetRequestId() == r.GetRequestId() && before.GetSize() == r.GetSize() &&
			snapshots.Named(before.GetTemplate(), r.GetTemplate()) && maps.Equal(before.GetLabels(), r.GetLabels()):
			return p.shown(), nil
		case p.name == r.GetName():
			return nil, poolFault(fault.Exists, fault.ReasonNameTaken, p.name, "pool %q: its name is in use: choose another name, or delete that pool first", p.name)
		case r.GetRequestId() != "" && record.GetRequestId() == r.GetRequestId() && before.GetClient() == client:
			return nil, poolFault(fault.Exists, fault.ReasonRequestIDUsed, p.name,
				"request ID %q made pool %q, which is another one: use each ID for one request", r.GetRequestId(), p.name)
		}
	}
	return nil, nil
}

// poolTemplate returns the whole ID of a template that pools can have.
func (n *Node) poolTemplate(id string) (string, error) {
	t, err := n.template(id)
	if err != nil {
		return "", err
	}
	_, err = n.pooledSpec(t)
	if err == nil {
		err = n.checkTemplate(t.Record)
	}
	if err != nil {
		return "", &fault.Error{Kind: fault.Precondition, Reason: fault.ReasonTemplateUnfit, Resource: fault.ResourceTemplate, Subject: t.ID(),
			Message: fmt.Sprintf("template %s can't be a pool's", snapshots.Short(t.ID())), Err: err}
	}
	return t.ID(), nil
}

// pooledSpec is the specification of members that go on from a template.
func (n *Node) pooledSpec(t *snapshots.Snapshot) (*bulkheadv1.SandboxSpec, error) {
	s, wrong := spec.InheritTemplate(&bulkheadv1.SandboxSpec{}, t.Record.GetSnapshot().GetSpec())
	if len(wrong) == 0 {
		s.Template = t.ID()
		wrong = spec.CheckSaved(s, n.limits.Load().Spec)
	}
	return s, fault.InvalidRequest(wrong)
}

// checkMemberCount fails if the pools of a pool's client would have too many members
// with it, which is new, or was another before. One without members counts as one: it
// takes room, too. The caller holds n.admission.
func (n *Node) checkMemberCount(record, before *storev1.Pool) error {
	counted := func(p *storev1.Pool) int { return max(1, int(p.GetPool().GetSize())) }
	most, wanted := n.limits.Load().PoolMembers, record.GetPool()
	if most == 0 || before != nil && counted(record) <= counted(before) {
		return nil
	}
	others := 0
	for _, p := range n.allPools() {
		if r := p.record.Load(); r.GetPool().GetClient() == wanted.GetClient() && r.GetPool().GetUid() != wanted.GetUid() {
			others += counted(r)
		}
	}
	if others+counted(record) <= most {
		return nil
	}
	e := fault.New(fault.Exhausted, fault.ReasonTooManyMembers, wanted.GetClient(),
		"client %s has %d members in other pools, and may have %d in all: ask for fewer, or make another pool smaller", wanted.GetClient(), others, most)
	e.Resource = fault.ResourcePool
	return e
}

// UpdatePool changes a pool for a client. Its members follow in the background.
func (n *Node) UpdatePool(r *bulkheadv1.UpdatePoolRequest, client string) (*bulkheadv1.Pool, error) {
	if err := n.checkPools(); err != nil {
		return nil, err
	}
	if err := fault.InvalidRequest(spec.CheckPoolUpdate(r)); err != nil {
		return nil, err
	}
	n.admission.Lock()
	defer n.admission.Unlock()
	p, err := n.findPool(r.GetName())
	if err != nil {
		return nil, err
	}
	before := p.record.Load()
	record := proto.CloneOf(before)
	if r.Size != nil {
		record.Pool.Size = r.GetSize()
	}
	if r.GetTemplate() != "" {
		if record.Pool.Template, err = n.poolTemplate(r.GetTemplate()); err != nil {
			return nil, err
		}
	}
	if err := n.checkMemberCount(record, before); err != nil {
		return nil, err
	}
	if proto.Equal(record, before) {
		return p.shown(), nil
	}
	if err := n.config.Store.PutPool(record); err != nil {
		return nil, poolSpace(p.name, "is as it was", err)
	}
	p.record.Store(record)
	p.forgetTrouble()
	p.wake()
	p.log.Info("pool changed", zap.String("client", client), zap.Uint32("size", record.GetPool().GetSize()), zap.String("template", record.GetPool().GetTemplate()))
	return p.shown(), nil
}

// poolSpace is an error of the store about a pool.
func poolSpace(name, what string, err error) error {
	if !isFull(err) {
		return err
	}
	e := fault.NoSpace(name, fmt.Sprintf("pool %q %s", name, what), err)
	e.Resource = fault.ResourcePool
	return e
}

// checkUnpooled fails if a pool has a template. The caller holds n.admission.
func (n *Node) checkUnpooled(template string) error {
	for _, p := range n.allPools() {
		if p.record.Load().GetPool().GetTemplate() == template {
			return &fault.Error{Kind: fault.Precondition, Reason: fault.ReasonTemplateInUse, Resource: fault.ResourceTemplate, Subject: template,
				Message: fmt.Sprintf("template %s is pool %q's: delete that pool first, or give it another template", snapshots.Short(template), p.name)}
		}
	}
	return nil
}
