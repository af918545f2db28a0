package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/bulkhead-vm/bulkhead/hypervisor/archive"
	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Import makes a snapshot of an archive, for a client. It ends with ctx, or when the
// node closes, and leaves nothing then. A read that has begun may go on when it
// returns: it is in's to end.
func (n *Node) Import(ctx context.Context, r *bulkheadv1.ImportSnapshotHeader, client string, in io.Reader) (*bulkheadv1.Snapshot, error) {
	if r.GetName() != "" {
		if err := supervise.CheckName(r.GetName()); err != nil {
			return nil, fault.InvalidField("header.name", err.Error())
		}
		if n.snapshots.Has(r.GetName()) {
			return nil, nameTaken(r.GetName())
		}
	}
	leave, err := n.enterImports(client)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, end := n.untilClosing(ctx)
	defer end()
	type done struct {
		name string
		err  error
	}
	result := make(chan done, 1)
	err = n.background(func() {
		name, err := n.importTo(ctx, r.GetName(), client, readUntil(ctx, in))
		result <- done{name, err}
	})
	if err != nil {
		return nil, err
	}
	d := <-result // which comes soon after ctx has ended
	if d.err != nil {
		return nil, explainImport(ctx, d.err)
	}
	n.config.Log.Info("imported", zap.String("snapshot", d.name), zap.String("client", client))
	return n.GetSnapshot(d.name)
}

// maxImports is how many a client may have at once: what an archive says has to be in
// memory to be judged, and a short one may unpack to terabytes of zeroes.
const maxImports = 4

// enterImports counts an import, until leave, and fails if the client has too many.
func (n *Node) enterImports(client string) (leave func(), err error) {
	n.saves.Lock()
	defer n.saves.Unlock()
	if n.imports[client] >= maxImports {
		return nil, fault.New(fault.Exhausted, fault.ReasonTooManySnapshots, client,
			"client %s imports %d snapshots now, the most at once: try again when one is over", client, maxImports)
	}
	n.imports[client]++
	return func() {
		n.saves.Lock()
		defer n.saves.Unlock()
		if n.imports[client]--; n.imports[client] == 0 {
			delete(n.imports, client)
		}
	}, nil
}

// importTo is an import, to a name or, if that is empty, to the archive's.
func (n *Node) importTo(ctx context.Context, name, client string, in io.Reader) (string, error) {
	n.saves.Lock()
	budget, err := n.snapshotBudget(client)
	n.saves.Unlock()
	if err != nil {
		return "", err
	}
	if err := n.checkRoom(0); err != nil {
		return "", err
	}
	i, err := n.snapshots.Import()
	if err != nil {
		return "", err
	}
	defer func() {
		if err := i.Close(); err != nil {
			n.config.Log.Warn("remove what is left of an import", zap.Error(err))
		}
	}()
	_, info, err := archive.Read(ctx, in, archive.Target{Dir: i.Dir(), Room: n.checkRoom, Keep: budget.take})
	if err != nil {
		return "", err
	}
	if name == "" {
		name = info.Name
	}
	if err := supervise.CheckName(name); err != nil {
		return "", &archive.Error{What: "the name that it gives the snapshot is none", Err: err}
	}
	known, err := n.acceptImport(ctx, i, info)
	if err != nil {
		return "", err
	}
	known.Client, known.Time = client, time.Now().UTC()
	err = n.publish(client, i.Count, func() error {
		if err := n.checkSnapshotCount(client); err != nil { // others may have come first
			return err
		}
		return i.Publish(name, known)
	})
	if errors.Is(err, snapshots.ErrTaken) {
		err = nameTaken(name)
	}
	return name, err
}

// acceptImport judges what a snapshot of another node is of: whether this one would
// have made it, and has what it needs.
func (n *Node) acceptImport(ctx context.Context, i *snapshots.Import, info *archive.Info) (*snapshots.Imported, error) {
	s, err := i.Open()
	if err != nil {
		return nil, &archive.Error{What: "it is of no node's snapshot", Err: err}
	}
	about := s.Record.GetSnapshot()
	wrong := spec.CheckDescription(about)
	if len(wrong) == 0 {
		wrong = spec.CheckSaved(about.GetSpec(), n.limits.Load().Spec)
	}
	if here := n.profile(); here != "" && here != about.GetHostProfile() {
		wrong = append(wrong, fault.Violation{Field: "host_profile", Description: fmt.Sprintf(
			"it was taken where KVM is %s, here it is %s: import it on a node like that", about.GetHostProfile(), here)})
	}
	if len(wrong) > 0 {
		return nil, unfit(wrong)
	}
	if have, need := len(info.Images), len(s.Record.GetImages()); have != need || need != len(about.GetSpec().GetDisks())+1 {
		return nil, &archive.Error{What: fmt.Sprintf("it names %d images, of a root file system and %d disks", have, len(about.GetSpec().GetDisks()))}
	}
	known := &snapshots.Imported{}
	for i, image := range info.Images {
		if need := s.Record.GetImages()[i]; (image == nil) != (need == "") {
			return nil, &archive.Error{What: fmt.Sprintf("it says too little of image %d", i)}
		}
		local, err := n.localImage(ctx, about.GetSpec(), i, image)
		if err != nil {
			return nil, err
		}
		known.Images = append(known.Images, local)
	}
	return known, nil
}

// unfit is the error of a snapshot that can't be used here.
func unfit(wrong []fault.Violation) error {
	return &fault.Error{
		Kind: fault.Precondition, Reason: fault.ReasonUnfit, Resource: fault.ResourceSnapshot, Violations: wrong,
		Message: "this node can't use the snapshot", Err: fault.InvalidRequest(wrong),
	}
}

// explainImport makes an error one that clients can act on.
func explainImport(ctx context.Context, err error) error {
	var (
		known *fault.Error
		bad   *archive.Error
		later *snapshot.VersionError
	)
	switch {
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &bad), errors.As(err, &later):
		return &fault.Error{Kind: fault.Invalid, Reason: fault.ReasonBadArchive, Err: err}
	}
	return noSpace("", "the snapshot is not imported", err)
}
