package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// inherit completes the specification of a sandbox that goes on from a snapshot or a
// certain template, and says where it comes from. Of templates each start does.
func (n *Node) inherit(s *bulkheadv1.SandboxSpec) (*bulkheadv1.SandboxSpec, *bulkheadv1.SandboxOrigin, error) {
	if spec.NamesTemplate(s) {
		s, err := n.inheritTemplate(s)
		if err == nil {
			err = fault.InvalidRequest(spec.CheckSaved(s, n.limits.Load().Spec))
		}
		return s, nil, err
	}
	if s.GetSnapshot() == "" {
		return s, nil, nil
	}
	found, err := n.snapshot(s.GetSnapshot())
	if err != nil {
		return nil, nil, err
	}
	from := found.Record.GetSnapshot()
	s, wrong := spec.Inherit(s, from.GetSpec())
	if len(wrong) == 0 { // and what it is of was for another policy, or anybody's
		wrong = spec.CheckSaved(s, n.limits.Load().Spec)
	}
	if err := fault.InvalidRequest(wrong); err != nil {
		return nil, nil, err
	}
	if wrong := n.checkImages(found); len(wrong) > 0 {
		return nil, nil, unfit(wrong)
	}
	return s, &bulkheadv1.SandboxOrigin{
		Snapshot: from.GetName(), SnapshotUid: from.GetUid(),
		Sandbox: from.GetSandbox(), SandboxUid: from.GetSandboxUid(), Time: from.GetCreateTime(),
	}, nil
}

// restores reports whether a start of the sandbox goes on from something.
func (n *Node) restores(r *storev1.Record) bool {
	return r.GetSandbox().GetSpec().GetSnapshot() != "" || r.GetTemplate() != "" || n.snapshots.Forking(r.GetFork())
}

// source returns what a start of the sandbox goes on from.
func (n *Node) source(r *storev1.Record) (*snapshots.Snapshot, error) {
	if n.snapshots.Forking(r.GetFork()) {
		return n.snapshots.OpenFork(r.GetFork())
	}
	s, err := n.snapshot(r.GetSandbox().GetSpec().GetSnapshot())
	if err != nil {
		return nil, err
	}
	if s.Record.GetSnapshot().GetUid() != r.GetSandbox().GetStatus().GetOrigin().GetSnapshotUid() {
		return nil, fmt.Errorf("snapshot %q is another one than when the sandbox was created: create another sandbox", s.Record.GetSnapshot().GetName())
	}
	return s, nil
}

// sourceOf returns what finds the source of a sandbox's machine.
func (n *Node) sourceOf(r *storev1.Record) func(context.Context) (instance.Images, error) {
	if r.GetTemplate() != "" {
		return n.templateOf(r)
	}
	return func(ctx context.Context) (instance.Images, error) {
		s, err := n.source(r)
		if err != nil {
			return instance.Images{}, err
		}
		if err := n.checkSource(ctx, s); err != nil {
			return instance.Images{}, err
		}
		return instance.Images{Snapshot: s.Path, Root: s.Record.GetImages()[0]}, nil
	}
}

// checkUnchanged fails if an image that the guest reads was written to since: what
// the guest remembers of it would be wrong.
func checkUnchanged(ctx context.Context, s *snapshots.Snapshot) error {
	if s.Imported != nil {
		return checkImported(ctx, s)
	}
	for _, image := range s.Record.GetImages() {
		if image == "" {
			continue // the snapshot has a copy
		}
		info, err := os.Stat(image)
		if err != nil {
			return fmt.Errorf("an image that the snapshot needs: %w", err)
		}
		if info.Mode().IsRegular() && changedSince(s.Record, image, info) {
			return fmt.Errorf("%s isn't what it was when the snapshot was taken (it was written to at %s): put it back as it was, or take another snapshot",
				image, info.ModTime().UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// changedSince reports whether a file is another one than when a snapshot was taken, as
// far as its size and time tell. A copy in its place is none, though some that copy keep
// seconds only. Earlier nodes kept neither.
func changedSince(r *storev1.Snapshot, path string, now os.FileInfo) bool {
	for _, then := range r.GetFiles() {
		if then.GetPath() == path {
			return then.GetSize() != uint64(now.Size()) || time.Unix(0, then.GetModifiedNs()).Unix() != now.ModTime().Unix()
		}
	}
	return now.ModTime().After(r.GetSnapshot().GetCreateTime().AsTime())
}

// freshDisks has the worker copy what the snapshot has of disks: what an earlier run
// has written fits that run's memory.
func (n *Node) freshDisks(r *storev1.Record) error {
	// A worker that is lost while it starts may have run the guest for a moment.
	ran := r.GetSandbox().GetStatus().GetExit() != nil || r.GetWorker() != nil
	for i, d := range r.GetSandbox().GetSpec().GetDisks() {
		switch {
		case d.GetOverlay() && d.GetOverlayPath() == "":
			if err := os.Remove(n.ownOverlay(hostName(r), i)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("disk %d: %w", i, err)
			}
		case !d.GetReadOnly() && ran:
			return fmt.Errorf("disk %d has what an earlier run wrote, which doesn't fit the snapshot: create another sandbox, with a path at which nothing is", i)
		}
	}
	return nil
}

// ownOverlay is where a sandbox has its own overlay of a disk.
func (n *Node) ownOverlay(host string, disk int) string {
	return filepath.Join(n.kept(host), fmt.Sprintf("disk%d.overlay", disk))
}

// renewed is who a guest is to be that goes on from a snapshot.
func renewed(r *storev1.Record) *agentv1.RenewRequest {
	s := r.GetSandbox()
	sum := sha256.Sum256([]byte(s.GetUid()))
	id := &agentv1.RenewRequest{
		Hostname: hostname(s.GetName()), MachineId: hex.EncodeToString(sum[:16]), Nameservers: s.GetSpec().GetNameservers(),
	}
	for i, network := range s.GetSpec().GetNetworks() {
		id.Interfaces = append(id.Interfaces, &agentv1.NetworkInterface{
			Name: fmt.Sprintf("eth%d", i), Mac: r.GetLinks()[i].GetMac(),
			Addresses: network.GetAddresses(), Gateways: network.GetGateways(), Mtu: network.GetMtu(),
			Down: r.GetTemplate() != "" && untold(network),
		})
	}
	return id
}
