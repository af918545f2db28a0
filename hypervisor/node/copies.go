package node

import (
	"context"
	"errors"
	"sync"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// admitCopies makes the sandboxes, which wait to be started. It returns the names of
// those it has made also if it fails.
func (n *Node) admitCopies(f *forking, box *sandbox, dir *snapshots.Fork) (names []string, err error) {
	n.admission.Lock()
	defer n.admission.Unlock()
	if n.draining.Load() {
		return nil, errDraining
	}
	if err := n.checkCount(f.client, f.count, n.limits.Load().PerClient); err != nil {
		return nil, err
	}
	seen := box.seen.Load()
	s, wrong := spec.Inherit(f.request.GetSpec(), seen.GetSpec())
	if err := fault.InvalidRequest(wrong); err != nil {
		return nil, err
	}
	s.Snapshot, s.Template = seen.GetSpec().GetSnapshot(), seen.GetSpec().GetTemplate() // for later starts
	for i := range f.count {
		r := &bulkheadv1.CreateSandboxRequest{}
		if i < len(f.request.GetNames()) {
			r.Name = f.request.GetNames()[i]
		}
		if n.lookup(r.GetName()) != nil {
			return names, fault.New(fault.Exists, fault.ReasonNameTaken, r.GetName(),
				"sandbox %q: its name is in use: choose another name, or delete that sandbox first", r.GetName())
		}
		if err := n.checkVsockPath(s.GetVsockPath()); err != nil {
			return names, err
		}
		record := newRecord(r, proto.CloneOf(s), f.client)
		record.Fork, record.ForkRequest = dir.Name(), &storev1.ForkRequest{RequestId: f.request.GetRequestId(), Copy: uint32(i)}
		record.Sandbox.Status.Origin = &bulkheadv1.SandboxOrigin{
			Snapshot: seen.GetSpec().GetSnapshot(), SnapshotUid: seen.GetStatus().GetOrigin().GetSnapshotUid(),
			Sandbox: seen.GetName(), SandboxUid: seen.GetUid(), Time: record.GetSandbox().GetCreateTime(),
		}
		made, err := n.admit(record)
		if err != nil {
			return names, err
		}
		names = append(names, made.GetName())
	}
	return names, nil
}

// copiesAtOnce is how many are started, or deleted, at a time.
const copiesAtOnce = 16

// eachCopy calls do for each name and its index, several at a time, and returns the first
// error.
func eachCopy(names []string, do func(int, string) error) error {
	var all sync.WaitGroup
	errs, places := make([]error, len(names)), make(chan struct{}, copiesAtOnce)
	for i, name := range names {
		places <- struct{}{}
		all.Go(func() {
			errs[i] = do(i, name)
			<-places
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// startCopies returns them as they were when they came to run.
func (n *Node) startCopies(names []string) (started []*bulkheadv1.Sandbox, err error) {
	started = make([]*bulkheadv1.Sandbox, len(names))
	err = eachCopy(names, func(i int, name string) (err error) {
		started[i], err = n.Start(context.Background(), name)
		return err
	})
	return started, err
}

// removeFork removes the copies of a fork that isn't to be, and then the sign that
// they are bound to each other.
func (n *Node) removeFork(dir *snapshots.Fork, names []string) {
	err := eachCopy(names, func(_ int, name string) error {
		err := n.Delete(context.Background(), name, "", true)
		if fault.KindOf(err) == fault.NotFound {
			return nil
		}
		return err
	})
	if err == nil {
		err = dir.End()
	}
	if err != nil && !errors.Is(err, errNodeClosing) {
		n.config.Log.Error("remove what is left of a fork", zap.Strings("copies", names), zap.Error(err))
	}
}
