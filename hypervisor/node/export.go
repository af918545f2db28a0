package node

import (
	"context"
	"errors"
	"fmt"
	"io"

	"go.uber.org/zap"

	"github.com/bulkhead-vm/bulkhead/hypervisor/archive"
	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/image"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Export writes an archive of a snapshot to what begin returns, which is told of the
// snapshot first. It ends with ctx, or when a write fails.
func (n *Node) Export(ctx context.Context, r *bulkheadv1.ExportSnapshotRequest, begin func(*bulkheadv1.Snapshot) (io.Writer, error)) error {
	format, ok := formatOf(r.GetFormat())
	if !ok {
		return fault.InvalidField("format", fmt.Sprintf("%d is none", r.GetFormat()))
	}
	ctx, end := n.untilClosing(ctx)
	defer end()
	s, err := n.snapshot(r.GetName())
	if err != nil {
		return err
	}
	if uid := s.Record.GetSnapshot().GetUid(); r.GetUid() != "" && r.GetUid() != uid {
		return noSnapshot(r.GetName())
	}
	images, err := imagesOfSnapshot(ctx, s)
	if err != nil {
		return n.explainExport(ctx, r.GetName(), err)
	}
	w, err := begin(s.Record.GetSnapshot())
	if err != nil {
		return err
	}
	err = archive.Write(ctx, w, format, archive.Source{
		Dir: s.Path, Info: archive.Info{Name: r.GetName(), Images: images},
		Scratch: n.snapshots.Scratch, Room: n.checkRoom,
	})
	if err != nil {
		return n.explainExport(ctx, r.GetName(), err)
	}
	n.config.Log.Info("exported", zap.String("snapshot", r.GetName()))
	return nil
}

func formatOf(f bulkheadv1.SnapshotFormat) (archive.Format, bool) {
	switch f {
	case bulkheadv1.SnapshotFormat_SNAPSHOT_FORMAT_UNSPECIFIED, bulkheadv1.SnapshotFormat_SNAPSHOT_FORMAT_OCI:
		return archive.OCI, true
	case bulkheadv1.SnapshotFormat_SNAPSHOT_FORMAT_TAR:
		return archive.Plain, true
	}
	return 0, false
}

// imagesOfSnapshot reads what a snapshot needs of this host, which must be as it was.
func imagesOfSnapshot(ctx context.Context, s *snapshots.Snapshot) ([]*archive.Image, error) {
	if err := checkUnchanged(ctx, s); err != nil {
		return nil, imageChanged(s, err)
	}
	all := make([]*archive.Image, len(s.Record.GetImages()))
	for i, path := range s.Record.GetImages() {
		if path == "" {
			continue // the snapshot has a copy
		}
		c, err := image.Digest(ctx, path)
		if err != nil {
			return nil, imageChanged(s, fmt.Errorf("an image that the snapshot needs: %w", err))
		}
		all[i] = &archive.Image{Path: path, Digest: c.Digest, Bytes: c.Bytes}
	}
	return all, nil
}

func imageChanged(s *snapshots.Snapshot, err error) error {
	return &fault.Error{Kind: fault.Precondition, Reason: fault.ReasonImage, Resource: fault.ResourceSnapshot, Subject: s.Record.GetSnapshot().GetName(), Err: err}
}

// explainExport makes an error one that clients can act on.
func (n *Node) explainExport(ctx context.Context, name string, err error) error {
	var (
		known   *fault.Error
		damaged *snapshot.CorruptError
	)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !n.snapshots.Has(name): // it was deleted meanwhile
		return noSnapshot(name)
	case errors.As(err, &known):
		return err
	case errors.As(err, &damaged):
		return &fault.Error{Kind: fault.Precondition, Reason: fault.ReasonSnapshotDamaged, Resource: fault.ResourceSnapshot, Subject: name, Err: err}
	}
	return noSpace(name, fmt.Sprintf("snapshot %q is not exported", name), err)
}

// untilClosing returns a context that ends when the node closes, too.
func (n *Node) untilClosing(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	over := make(chan struct{})
	go func() {
		select {
		case <-n.closing:
			cancel(errNodeClosing)
		case <-over:
		}
	}()
	return ctx, func() {
		close(over)
		cancel(nil)
	}
}
