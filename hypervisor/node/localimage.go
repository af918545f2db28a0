package node

import (
	"context"
	"fmt"
	"os"

	"github.com/bulkhead-vm/bulkhead/hypervisor/archive"
	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/image"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// localImage returns where this node has an image that a snapshot of another one
// needs: that of its root, or of the disk before i, which are where the specification
// says. nil: it needs none.
func (n *Node) localImage(ctx context.Context, s *bulkheadv1.SandboxSpec, i int, want *archive.Image) (*snapshots.LocalImage, error) {
	if want == nil {
		return nil, nil
	}
	path, what := "", "the root file system"
	if i > 0 {
		path, what = s.GetDisks()[i-1].GetPath(), fmt.Sprintf("disk %d", i-1)
	} else if root, err := n.rootImage(s.GetRootFs().GetPath()); err == nil {
		path = root.Path
	} else {
		return nil, imageMissing(what, want, err)
	}
	have, err := image.Digest(ctx, path)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, imageMissing(what, want, err)
	case have.Digest != want.Digest:
		return nil, imageMissing(what, want, fmt.Errorf("%s has %d bytes with the digest %s", path, have.Bytes, have.Digest))
	}
	return &snapshots.LocalImage{Path: path, Digest: have.Digest, Stamp: have.Stamp}, nil
}

// imageMissing is the error of who doesn't have the image of something as it was.
func imageMissing(what string, want *archive.Image, err error) error {
	return &fault.Error{
		Kind: fault.Precondition, Reason: fault.ReasonImage, Resource: fault.ResourceSnapshot, Err: err,
		Message: fmt.Sprintf("the snapshot needs the image of %s as it was (%.512q where it was taken, %d bytes, %.100q): copy it to this node, to where the sandbox's specification names it, and import the snapshot again",
			what, want.Path, want.Bytes, want.Digest),
	}
}

// checkImported fails if an image of a snapshot that was imported isn't what it was
// then. One that has only been touched, or put back, is remembered as it is now.
func checkImported(ctx context.Context, s *snapshots.Snapshot) error {
	touched := false
	for _, i := range s.Imported.Images {
		if i == nil {
			continue
		}
		stamp, err := image.Stamp(i.Path)
		if err != nil {
			return fmt.Errorf("an image that the snapshot needs: %w", err)
		}
		if stamp == i.Stamp {
			continue
		}
		c, err := image.Digest(ctx, i.Path)
		if err != nil {
			return fmt.Errorf("an image that the snapshot needs: %w", err)
		}
		if c.Digest != i.Digest {
			return fmt.Errorf("%s was written to since the snapshot was imported: put it back as it was (%s), or import the snapshot again", i.Path, i.Digest)
		}
		i.Stamp, touched = c.Stamp, true
	}
	if touched {
		if err := s.Remember(); err != nil && !os.IsNotExist(err) { // it costs the next one the time
			return nil
		}
	}
	return nil
}

// checkImages returns what is wrong with where a snapshot's images are.
func (n *Node) checkImages(s *snapshots.Snapshot) []fault.Violation {
	disks := len(s.Record.GetSnapshot().GetSpec().GetDisks())
	return spec.CheckImages(s.Record.GetImages(), disks, n.limits.Load().Spec, n.config.GuestDir, n.config.CacheDir)
}

// checkSource fails unless a machine can go on from a snapshot here and now.
func (n *Node) checkSource(ctx context.Context, s *snapshots.Snapshot) error {
	if wrong := n.checkImages(s); len(wrong) > 0 {
		return fmt.Errorf("images of the snapshot aren't where they were: %w", fault.InvalidRequest(wrong))
	}
	return checkUnchanged(ctx, s)
}
