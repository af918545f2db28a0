package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// written returns the file that a disk's writes go to; empty: it has none.
func written(d *vmmv1.Disk) string {
	switch {
	case d.GetOverlay() != "":
		return d.GetOverlay()
	case d.GetReadOnly():
		return ""
	}
	return d.GetPath()
}

// copyDisks adds to a snapshot what the guest wrote to its disks, which are at
// rest.
func (w *Worker) copyDisks(ctx context.Context, out *snapshot.Writer) error {
	for i, d := range w.configuration.GetDisks() {
		path := written(d)
		if path == "" {
			continue
		}
		if err := w.controls.disks[i].backend.Flush(); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := out.Copy(ctx, diskName(i), path); err != nil {
			return err
		}
	}
	return nil
}

// checkImages fails if a disk's image isn't the file at its path any more: who goes on
// from a snapshot would find another one there, or a copy of it.
func (w *Worker) checkImages() error {
	for i, d := range w.configuration.GetDisks() {
		there, err := os.Stat(d.GetPath())
		if err != nil {
			return fmt.Errorf("an image that the guest has: %w: put it back first", err)
		}
		if !os.SameFile(there, w.controls.disks[i].image) {
			return fmt.Errorf("%s has been replaced since the machine was made, which has the one before: it can't be saved, start it again first", d.GetPath())
		}
	}
	return nil
}

// fetchDisk makes the file that a disk's writes go to from the snapshot's copy. A file
// that is there would be another disk under a file system that is mounted; what a block
// device has is its owner's to know.
func (p *parts) fetchDisk(i int, d *vmmv1.Disk) error {
	path := written(d)
	if p.snapshot == nil || path == "" {
		return nil
	}
	switch info, err := os.Stat(path); {
	case err == nil && info.Mode().IsRegular():
		return fmt.Errorf("there is a file at %s already: name a path at which nothing is, for a copy of what the snapshot has", path)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	_, err := p.snapshot.CopyTo(path, diskName(i))
	return err
}

func diskName(i int) string { return fmt.Sprintf("blk%d", i) }
