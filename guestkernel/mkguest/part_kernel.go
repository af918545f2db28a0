package main

import (
	"context"
	"path/filepath"

	"github.com/bulkhead-vm/bulkhead/guestkernel/kernel"
)

const kernelName = "kernel"

func kernelPart() part {
	return part{name: kernelName, packages: kernel.Packages(), build: buildKernel}
}

func buildKernel(ctx context.Context, e env) ([]file, error) {
	b := kernel.Builder{Cache: e.cache, Progress: e.progress, Jobs: e.jobs}
	dir, err := b.Build(ctx)
	if err != nil {
		return nil, err
	}
	var files []file
	for _, name := range kernel.Files() {
		files = append(files, file{name: name, path: filepath.Join(dir, name)})
	}
	return files, nil
}
