package kernel

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bulkhead-vm/bulkhead/guestkernel/patches"
)

// tree is an unpacked kernel source that is built in place.
type tree struct {
	dir  string
	run  *runner
	jobs int
}

func (t tree) unpack(ctx context.Context, tarball string) error {
	if err := os.Mkdir(t.dir, 0o755); err != nil {
		return err
	}
	return t.run.run(ctx, command{
		args: []string{"tar", "--extract", "--strip-components=1", "--directory", t.dir, "--file", tarball},
	})
}

func (t tree) patch(ctx context.Context, all []patches.Patch) error {
	for _, p := range all {
		err := t.run.run(ctx, command{
			dir:   t.dir,
			stdin: bytes.NewReader(p.Text),
			args:  []string{"patch", "--strip=1", "--batch", "--forward", "--no-backup-if-mismatch"},
		})
		if err != nil {
			return fmt.Errorf("%s doesn't apply to this version of %s: %w", p.Name, sourcePackage, err)
		}
	}
	return nil
}

// diffOf returns the part of a patch that changes something, so that a better
// explanation in its header builds no new kernel.
func diffOf(text []byte) []byte {
	if i := bytes.Index(text, []byte("\n--- ")); i >= 0 {
		return text[i+1:]
	}
	return text
}

func (t tree) path(name string) string { return filepath.Join(t.dir, name) }
