package main

import (
	"context"
	"fmt"
	"time"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// goldenName is that of a sandbox that runs as long as its node, and of its snapshot.
const goldenName = "golden"

// partLimit is how long a part of the measurements may take that boots few guests.
const partLimit = 40 * time.Minute

// sharedNode returns a node for several parts. It is made once, and closeNode's to
// end.
func (b *bench) sharedNode() (d *daemon, err error) {
	if b.node == nil {
		b.node, err = b.launchDaemon()
	}
	return b.node, err
}

// golden returns the node with a sandbox of 128 MiB to fork, and its snapshot to go on
// from, which are made once as well.
func (b *bench) golden() (*daemon, error) {
	d, err := b.sharedNode()
	if err != nil || b.isGolden {
		return d, err
	}
	ctx, cancel := context.WithTimeout(b.ctx, callLimit)
	defer cancel()
	if err := d.makeGolden(ctx); err != nil {
		return nil, fmt.Errorf("a sandbox for others to go on from: %w", err)
	}
	b.isGolden = true
	return d, nil
}

// makeGolden boots it. It has run a command before: others find that in its caches.
func (d *daemon) makeGolden(ctx context.Context) error {
	if _, err := d.Create(ctx, &bulkheadv1.CreateSandboxRequest{Name: goldenName, Spec: &bulkheadv1.SandboxSpec{Template: noTemplate}}); err != nil {
		return err
	}
	if _, err := d.StartSandbox(ctx, &bulkheadv1.StartSandboxRequest{Name: goldenName}); err != nil {
		return err
	}
	if _, err := d.exec(ctx, goldenName); err != nil {
		return err
	}
	_, err := d.Snapshot(ctx, &bulkheadv1.CreateSnapshotRequest{Sandbox: goldenName, Name: goldenName})
	return err
}

// closeNode ends what they made.
func (b *bench) closeNode() error {
	if b.node == nil {
		return nil
	}
	return b.node.close()
}

// fromGolden is the specification of a sandbox that goes on from the snapshot.
func fromGolden() *bulkheadv1.SandboxSpec { return &bulkheadv1.SandboxSpec{Snapshot: goldenName} }
