package main

import (
	"context"
	"slices"

	"github.com/bulkhead-vm/bulkhead/guestkernel/cache"
	"github.com/bulkhead-vm/bulkhead/guestkernel/progress"
)

// A part is something that a guest is made of. To add one, write a function
// that returns it, in a file of its own, and name it in parts.
type part struct {
	name     string
	packages []string // Debian packages that building it needs
	build    func(context.Context, env) ([]file, error)
}

// env is what building a part may use.
type env struct {
	cache    *cache.Cache
	progress *progress.Line
	jobs     int
}

// file is a built file in the cache and its name in the output directory.
type file struct {
	name string
	path string
}

// parts returns every part, in the order in which they are built.
func parts() []part {
	return []part{
		kernelPart(),
		initramfsPart(),
		userlandPart(),
	}
}

func choose(all []part, kernelOnly bool) []part {
	if !kernelOnly {
		return all
	}
	return slices.DeleteFunc(all, func(p part) bool { return p.name != kernelName })
}

// packages returns the packages of the parts, sorted, each once.
func packages(of []part) []string {
	var all []string
	for _, p := range of {
		all = append(all, p.packages...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
