package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// goldenName is that of a sandbox that runs as long as its node, and of its snapshot.
const goldenName = "golden"

// partLimit is how long a part of the measurements may take that boots few guests.
const partLimit = 20 * time.Minute

// golden returns a node with a sandbox of 128 MiB to fork, and its snapshot to go on
// from. It is made once, and the bench's to close.
func (b *bench) golden() (*daemon, error) {
	if b.node != nil {
		return b.node, nil
	}
	d, err := b.launchDaemon()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	if err := d.makeGolden(ctx); err != nil {
		d.delete(ctx, goldenName) // may not be there
		return nil, errors.Join(fmt.Errorf("a sandbox for others to go on from: %w", err), d.close())
	}
	b.node = d
	return d, nil
}

// makeGolden boots it. It has run a command before: others find that in its caches.
func (d *daemon) makeGolden(ctx context.Context) error {
	if _, err := d.Create(ctx, &bulkheadv1.CreateSandboxRequest{Name: goldenName}); err != nil {
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

// closeGolden ends what golden made.
func (b *bench) closeGolden() error {
	if b.node == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	return errors.Join(b.node.delete(ctx, goldenName), b.node.close())
}

// fromGolden is the specification of a sandbox that goes on from the snapshot.
func fromGolden() *bulkheadv1.SandboxSpec { return &bulkheadv1.SandboxSpec{Snapshot: goldenName} }
