package initramfs

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bulkhead-vm/bulkhead/guestkernel/cache"
)

const agentPackage = "./cmd/bulkhead-agent"

// Build compiles the agent, in the directory scratch, and writes an initramfs
// with it to out.
func (b *Builder) Build(ctx context.Context, out, scratch string) error {
	agent := filepath.Join(scratch, "bulkhead-agent")
	_, err := b.goTool(ctx, b.Dir, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", agent, agentPackage)
	if err != nil {
		return fmt.Errorf("compile the guest agent: %w", err)
	}
	init, err := os.ReadFile(agent)
	if err != nil {
		return err
	}
	return writeFile(out, func(f *os.File) error {
		w := bufio.NewWriter(f)
		if err := Write(w, init); err != nil {
			return err
		}
		return w.Flush()
	})
}

// Key returns everything that decides what Build writes.
func (b *Builder) Key(ctx context.Context) (*cache.Key, error) {
	k := &cache.Key{}
	k.AddString("recipe", "1")
	if err := b.addGo(ctx, k, b.Dir); err != nil {
		return nil, err
	}
	if err := b.addSources(ctx, k, b.Dir, agentPackage, "./guestkernel/initramfs"); err != nil {
		return nil, err
	}
	return k, nil
}

// writeFile creates path with what write writes, and deletes it if that fails.
func writeFile(path string, write func(*os.File) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	err = write(f)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}
