package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"time"

	"go.uber.org/zap"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// saving is a snapshot that is being taken, or was.
type saving struct {
	request *bulkheadv1.CreateSnapshotRequest // with a name
	client  string
	done    chan struct{} // closed when the rest is set
	made    *bulkheadv1.Snapshot
	err     error
}

// repeats reports whether a request is the one that this is about, once more. One
// without an ID never is: it is about another moment.
func (s *saving) repeats(r *bulkheadv1.CreateSnapshotRequest, client string) bool {
	return r.GetRequestId() != "" && r.GetRequestId() == s.request.GetRequestId() && client == s.client &&
		(r.GetName() == "" || r.GetName() == s.request.GetName()) &&
		r.GetSandbox() == s.request.GetSandbox() && r.GetFull() == s.request.GetFull() && maps.Equal(r.GetLabels(), s.request.GetLabels())
}

// Snapshot saves a running sandbox for a client. It goes on when ctx ends.
func (n *Node) Snapshot(ctx context.Context, r *bulkheadv1.CreateSnapshotRequest, client string) (*bulkheadv1.Snapshot, error) {
	if err := fault.InvalidRequest(spec.CheckSnapshot(r)); err != nil {
		return nil, err
	}
	s, err := n.beginSaving(r, client)
	if err != nil {
		return nil, err
	}
	select {
	case <-s.done:
		return s.made, s.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// beginSaving begins it, or finds the one that the same request has begun.
func (n *Node) beginSaving(r *bulkheadv1.CreateSnapshotRequest, client string) (*saving, error) {
	n.saves.Lock()
	defer n.saves.Unlock()
	if before, err := n.savedBefore(r, client); before != nil || err != nil {
		return before, err
	}
	box, err := n.find(r.GetSandbox())
	if err != nil {
		return nil, err
	}
	if _, err := n.snapshotBudget(client); err != nil {
		return nil, err
	}
	s := &saving{request: r, client: client, done: make(chan struct{})}
	if r.GetName() == "" {
		s.request = &bulkheadv1.CreateSnapshotRequest{Sandbox: r.GetSandbox(), Name: newID(), Labels: r.GetLabels(), RequestId: r.GetRequestId(), Full: r.GetFull()}
	}
	if err := n.background(func() { n.takeSnapshot(box, s) }); err != nil {
		return nil, err
	}
	n.savings[s.request.GetName()] = s
	return s, nil
}

// background has do be called in a goroutine that Close waits for.
func (n *Node) background(do func()) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errNodeClosing
	}
	n.running.Go(do)
	return nil
}

func (n *Node) takeSnapshot(box *sandbox, s *saving) {
	name := s.request.GetName()
	record := &storev1.Snapshot{RequestId: s.request.GetRequestId(), Full: s.request.GetFull(), Snapshot: &bulkheadv1.Snapshot{Labels: s.request.GetLabels(), Client: s.client}}
	s.err = n.save(n.snapshots, box, record, func(stage *snapshots.Stage) error {
		return n.publish(s.client, stage.Count, func() error { return stage.Publish(name) })
	})
	if errors.Is(s.err, snapshots.ErrTaken) { // by whom nobody here knows
		s.err = nameTaken(name)
	}
	if s.err == nil {
		s.made, s.err = n.GetSnapshot(name)
	}
	if s.err == nil {
		n.observeSnapshot(s.made)
		box.log.Info("saved", zap.String("snapshot", name), zap.Duration("pause", s.made.GetPause().AsDuration()), zap.Uint64("bytes", s.made.GetStoredBytes()), zap.Uint32("layers", s.made.GetLayers()))
	}
	n.saves.Lock()
	delete(n.savings, name)
	n.saves.Unlock()
	close(s.done)
}

// save has a sandbox be saved in a stage of dir, and put the snapshot where it belongs.
// r gets what is known of the sandbox.
func (n *Node) save(dir *snapshots.Dir, box *sandbox, r *storev1.Snapshot, put func(*snapshots.Stage) error) error {
	seen := box.seen.Load()
	what := fmt.Sprintf("sandbox %q is not saved", box.name)
	r.Snapshot.Uid, r.Snapshot.Spec = rand.Text(), seen.GetSpec()
	r.Snapshot.Sandbox, r.Snapshot.SandboxUid = seen.GetName(), seen.GetUid()
	stage, err := n.stage(dir, box.name)
	if err != nil {
		return noSpace(box.name, what, err)
	}
	if err = box.save(stage, r); err == nil { // how large it becomes nobody knows before
		err = dir.CheckRoom(0, n.limits.Load().SnapshotReserve)
	}
	if err == nil {
		err = put(stage)
	}
	switch {
	case errors.Is(err, errNodeClosing): // the next node's
		stage.Release()
	case !errors.Is(err, instance.ErrFrozen): // the sandbox's
		n.closeStage(stage)
	}
	return explainSave(box.name, what, err)
}

// explainSave makes an error one that clients can act on.
func explainSave(name, what string, err error) error {
	var (
		known *fault.Error
		ended *instance.EndedError
	)
	switch {
	case err == nil, errors.As(err, &known), errors.Is(err, snapshots.ErrTaken):
		return err
	case errors.Is(err, errCalledOff):
		return fault.New(fault.Aborted, fault.ReasonEnded, name, "%s: it was stopped meanwhile", what)
	case errors.As(err, &ended):
		return &fault.Error{Kind: fault.Aborted, Reason: fault.ReasonEnded, Subject: name, Message: what, Err: err}
	case isFull(err):
		return fault.NoSpace(name, what, err)
	}
	return &fault.Error{Kind: fault.Aborted, Reason: fault.ReasonSnapshotFailed, Subject: name, Message: what, Err: err}
}

const (
	// closeTries is how often it is tried to remove what a worker may still be
	// writing, and closeAgain how long after a failure.
	closeTries = 20
	closeAgain = 100 * time.Millisecond
)

// closeStage removes what there is of a snapshot that wasn't published.
func (n *Node) closeStage(stage *snapshots.Stage) {
	err := stage.Close()
	for range closeTries {
		if err == nil || n.isClosing() {
			break
		}
		time.Sleep(closeAgain)
		err = stage.Close()
	}
	if err != nil {
		n.config.Log.Warn("remove what is left of a snapshot", zap.String("sandbox", stage.Sandbox()), zap.Error(err))
	}
}
