// Package kernel builds the guest kernel from Debian's kernel source package
// with our configuration and patches.
package kernel

import (
	"context"
	"path/filepath"

	"github.com/bulkhead-vm/bulkhead/guestkernel/cache"
	"github.com/bulkhead-vm/bulkhead/guestkernel/config"
	"github.com/bulkhead-vm/bulkhead/guestkernel/patches"
)

// Names of the files of a built kernel.
const (
	Vmlinux   = "vmlinux"    // ELF without symbols; 64-bit and PVH entry
	BzImage   = "bzImage"    // the same kernel behind the Linux boot protocol
	SystemMap = "System.map" // symbols of both, for profiles and oopses
	Config    = "config"     // the configuration it was built with
)

// Files returns the names of all files of a built kernel.
func Files() []string { return []string{Vmlinux, BzImage, SystemMap, Config} }

// Progress is told how far the build is.
type Progress interface {
	Stage(name string)
	Step(done, total int)
}

// Builder builds kernels into a cache.
type Builder struct {
	Cache    *cache.Cache
	Progress Progress
	Jobs     int // compilers at once
}

// recipe is what goes into a kernel besides the source package.
type recipe struct {
	options []config.Option
	patches []patches.Patch
}

// spaceNeeded is what the unpacked source and the objects take.
const spaceNeeded = 2200 << 20

// Build returns the directory with the kernel's files, from the cache if
// nothing that goes into it has changed.
func (b *Builder) Build(ctx context.Context) (string, error) {
	src, err := findSource(ctx)
	if err != nil {
		return "", err
	}
	r, err := loadRecipe()
	if err != nil {
		return "", err
	}
	key, err := r.key(ctx, src)
	if err != nil {
		return "", err
	}
	return b.Cache.Get("kernel", key, func(w cache.Work) error {
		return b.build(ctx, src, r, w)
	})
}

func loadRecipe() (r recipe, err error) {
	if r.options, err = config.Options(); err != nil {
		return r, err
	}
	r.patches, err = patches.All()
	return r, err
}

func (b *Builder) build(ctx context.Context, src source, r recipe, w cache.Work) error {
	if err := checkPackages(ctx); err != nil {
		return err
	}
	if err := b.Cache.Need(spaceNeeded); err != nil {
		return err
	}
	run, err := newRunner(w.Log)
	if err != nil {
		return err
	}
	defer run.close()
	return b.steps(ctx, src, r, w, run)
}

func (b *Builder) steps(ctx context.Context, src source, r recipe, w cache.Work, run *runner) error {
	t := tree{dir: filepath.Join(w.Scratch, "linux"), run: run, jobs: b.Jobs}
	steps := []struct {
		stage string
		do    func() error
	}{
		{"unpack linux " + src.version, func() error { return t.unpack(ctx, src.tarball) }},
		{"patch", func() error { return t.patch(ctx, r.patches) }},
		{"configure", func() error { return t.configure(ctx, r.options) }},
		{"compile the kernel", func() error { return t.compile(ctx, b.Progress) }},
		{"publish", func() error { return t.publish(ctx, w.Out) }},
	}
	for _, s := range steps {
		b.Progress.Stage(s.stage)
		if err := s.do(); err != nil {
			return err
		}
	}
	return nil
}
