package initramfs

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/bulkhead-vm/bulkhead/guestkernel/cache"
)

// builder is the tool that is no command.
const builder = "github.com/u-root/gobusybox/src/cmd/makebb"

// BuildUserland builds u-root's commands and a shell as one program, in the directory
// scratch, and writes a root file system with it to out, an EROFS image. It
// takes a minute.
func (b *Builder) BuildUserland(ctx context.Context, out, scratch string) error {
	packages, err := b.commandPackages(ctx)
	if err != nil {
		return err
	}
	bb := filepath.Join(scratch, "bb")
	args := append([]string{"tool", "makebb", "-o", bb}, packages...)
	if _, err := b.goTool(ctx, b.userlandDir(), args...); err != nil {
		return fmt.Errorf("compile the userland's commands: %w", err)
	}
	program, err := os.Open(bb)
	if err != nil {
		return err
	}
	defer program.Close()
	var names []string
	for _, p := range packages {
		names = append(names, path.Base(p))
	}
	return writeFile(out, func(f *os.File) error {
		return writeUserland(f, scratch, names, program)
	})
}

// commandPackages returns the packages of the userland's commands: what the
// go.mod of its module lists as tools, but for the one that builds them.
func (b *Builder) commandPackages(ctx context.Context) ([]string, error) {
	out, err := b.goTool(ctx, b.userlandDir(), "list", "tool")
	if err != nil {
		return nil, fmt.Errorf("list the userland's commands: %w", err)
	}
	var packages []string
	for _, p := range strings.Fields(out) {
		if p != builder {
			packages = append(packages, p)
		}
	}
	return packages, nil
}

// UserlandKey returns everything that decides what BuildUserland writes.
func (b *Builder) UserlandKey(ctx context.Context) (*cache.Key, error) {
	k := &cache.Key{}
	k.AddString("recipe", "1")
	if err := b.addGo(ctx, k, b.userlandDir()); err != nil {
		return nil, err
	}
	for _, name := range []string{"go.mod", "go.sum", "sh/main.go"} {
		if err := k.AddFile("userland/"+name, filepath.Join(b.userlandDir(), name)); err != nil {
			return nil, err
		}
	}
	if err := b.addSources(ctx, k, b.Dir, "./guestkernel/initramfs"); err != nil {
		return nil, err
	}
	return k, nil
}
