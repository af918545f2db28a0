package node

import (
	"context"
	"fmt"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// forking is a fork that is under way.
type forking struct {
	request *bulkheadv1.ForkSandboxRequest
	count   int
	client  string
	done    chan struct{} // closed when the rest is set
	made    []*bulkheadv1.Sandbox
	err     error
}

// Fork makes running copies of a running sandbox, for a client: all of them, or
// none. It goes on when ctx ends.
//
// They have a snapshot in a directory that says so for as long as not all of them
// run. A node that finds it when it opens removes them: nobody has heard of them.
func (n *Node) Fork(ctx context.Context, r *bulkheadv1.ForkSandboxRequest, client string) ([]*bulkheadv1.Sandbox, error) {
	count, wrong := spec.CheckFork(r, n.limits.Load().Spec)
	if err := fault.InvalidRequest(wrong); err != nil {
		return nil, err
	}
	f, err := n.beginForking(&forking{request: r, count: count, client: client, done: make(chan struct{})})
	if err != nil {
		return nil, err
	}
	select {
	case <-f.done:
		return f.made, f.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// beginForking begins a fork, or finds the one that the same request has begun.
func (n *Node) beginForking(f *forking) (*forking, error) {
	n.saves.Lock()
	defer n.saves.Unlock()
	key := f.client + "\x00" + f.request.GetRequestId()
	if f.request.GetRequestId() != "" {
		if before := n.forkings[key]; before != nil {
			if proto.Equal(before.request, f.request) {
				return before, nil
			}
			return nil, forkIDUsed(f.request)
		}
		if made, err := n.forkedBefore(f); made != nil || err != nil {
			return made, err
		}
	}
	box, err := n.find(f.request.GetName())
	if err != nil {
		return nil, err
	}
	err = n.background(func() {
		f.made, f.err = n.fork(f, box)
		n.saves.Lock()
		if n.forkings[key] == f {
			delete(n.forkings, key)
		}
		n.saves.Unlock()
		close(f.done)
	})
	if err == nil && f.request.GetRequestId() != "" {
		n.forkings[key] = f
	}
	return f, err
}

func forkIDUsed(r *bulkheadv1.ForkSandboxRequest) error {
	return fault.New(fault.Exists, fault.ReasonRequestIDUsed, r.GetName(),
		"request ID %q made other copies: use each ID for one request", r.GetRequestId())
}

// forkedBefore returns the copies that the same request made, nil if there are none.
func (n *Node) forkedBefore(f *forking) (*forking, error) {
	found := map[int]*sandbox{}
	for _, box := range n.all() {
		if box.copyOf.GetRequestId() == f.request.GetRequestId() && box.seen.Load().GetClient() == f.client {
			found[int(box.copyOf.GetCopy())] = box
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	for i := range f.count {
		box := found[i]
		if box == nil || len(found) != f.count || box.seen.Load().GetStatus().GetOrigin().GetSandbox() != f.request.GetName() ||
			i < len(f.request.GetNames()) && box.name != f.request.GetNames()[i] {
			return nil, forkIDUsed(f.request)
		}
		if err := box.leaving(); err != nil || n.snapshots.Forking(box.fork) {
			return nil, box.busy()
		}
		f.made = append(f.made, box.seen.Load())
	}
	close(f.done)
	return f, nil
}

func (n *Node) fork(f *forking, box *sandbox) ([]*bulkheadv1.Sandbox, error) {
	dir, err := n.snapshots.Fork()
	if err != nil {
		return nil, noSpace(box.name, fmt.Sprintf("sandbox %q is not forked", box.name), err)
	}
	names, err := n.admitCopies(f, box, dir)
	if err == nil {
		record := &storev1.Snapshot{Snapshot: &bulkheadv1.Snapshot{Client: f.client}}
		err = n.save(n.snapshots, box, record, func(stage *snapshots.Stage) error { return stage.Hand(dir) })
	}
	var made []*bulkheadv1.Sandbox
	if err == nil {
		made, err = n.startCopies(names)
	}
	if n.isClosing() {
		return nil, errNodeClosing // the next node removes what there is
	}
	if err != nil {
		n.removeFork(dir, names)
		return nil, err
	}
	if err := dir.End(); err != nil && n.snapshots.Forking(dir.Name()) {
		n.removeFork(dir, names)
		return nil, err
	}
	box.log.Info("forked", zap.Strings("copies", names))
	for i, name := range names {
		if now, err := n.Get(name); err == nil { // or it has ended, and been deleted for that
			made[i] = now
		}
	}
	return made, nil
}
