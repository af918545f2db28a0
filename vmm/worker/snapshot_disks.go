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

// fetchDisk makes the file that a disk's writes go to from the snapshot's copy,
// unless there is one, which the owner means in its place.
func (p *parts) fetchDisk(i int, d *vmmv1.Disk) error {
	path := written(d)
	if p.snapshot == nil || path == "" {
		return nil
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err := p.snapshot.CopyTo(path, diskName(i))
	return err
}

func diskName(i int) string { return fmt.Sprintf("blk%d", i) }
