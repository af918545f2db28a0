package kernel

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// publish puts the files of the built kernel into dir.
func (t tree) publish(ctx context.Context, dir string) error {
	err := t.run.run(ctx, command{
		args: []string{"objcopy", "--strip-all", t.path("vmlinux"), filepath.Join(dir, Vmlinux)},
	})
	if err != nil {
		return err
	}
	for from, to := range map[string]string{
		"arch/x86/boot/bzImage": BzImage,
		"System.map":            SystemMap,
		".config":               Config,
	} {
		if err := copyFile(t.path(from), filepath.Join(dir, to)); err != nil {
			return fmt.Errorf("publish %s: %w", to, err)
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
