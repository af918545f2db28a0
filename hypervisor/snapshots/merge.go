package snapshots

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"
)

// Merge makes the layers of a snapshot into one. It fails with ErrNone if there is no
// such snapshot, or another one meanwhile, with *DamagedError or
// *snapshot.VersionError, or as the disk does.
func (d *Dir) Merge(ctx context.Context, name string) error {
	if !d.Has(name) {
		return ErrNone
	}
	err := snapshot.Merge(ctx, d.named(name), &d.removing)
	var (
		corrupt *snapshot.CorruptError
		version *snapshot.VersionError
	)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, snapshot.ErrReplaced), errors.Is(err, fs.ErrNotExist) && !d.Has(name):
		return ErrNone
	case errors.As(err, &corrupt), errors.As(err, &version):
		return explain(name, err)
	}
	return fmt.Errorf("merge snapshot %q: %w", name, err)
}
