package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/bulkhead-vm/bulkhead/guestkernel/cache"
	"github.com/bulkhead-vm/bulkhead/guestkernel/progress"
)

func TestParse(t *testing.T) {
	tests := []struct {
		args []string
		want options
		fail bool
	}{
		{nil, options{out: "bin/guest", jobs: 3}, false},
		{[]string{"-o", "x", "--kernel-only"}, options{out: "x", kernelOnly: true, jobs: 3}, false},
		{[]string{"--print-packages"}, options{out: "bin/guest", printPackages: true, jobs: 3}, false},
		{[]string{"stray"}, options{}, true},
	}
	for _, tt := range tests {
		got, err := parse(append([]string{"-j", "3"}, tt.args...))
		if (err != nil) != tt.fail || (err == nil && got != tt.want) {
			t.Errorf("parse(%q) = %+v, %v", tt.args, got, err)
		}
	}
}

func TestChooseAndPackages(t *testing.T) {
	all := []part{{name: kernelName, packages: []string{"b", "a"}}, {name: "other", packages: []string{"a", "c"}}}
	if got := packages(choose(slices.Clone(all), false)); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("packages of all = %q", got)
	}
	if got := packages(choose(slices.Clone(all), true)); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("packages of the kernel = %q", got)
	}
}

func TestBuildAllPlacesFilesThatOutliveTheCache(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "guest")
	c, err := cache.Open(filepath.Join(dir, "cache"), nil)
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(dir, "built")
	fake := part{name: "fake", build: func(context.Context, env) ([]file, error) {
		return []file{{name: "artefact", path: source}}, nil
	}}
	e := env{cache: c, progress: progress.New(os.Stderr)}
	for _, content := range []string{"one", "two", "two"} {
		_ = os.Remove(source)
		if err := os.WriteFile(source, []byte(content), 0o444); err != nil {
			t.Fatal(err)
		}
		if err := buildAll(context.Background(), []part{fake}, e, out); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(source)
		got, err := os.ReadFile(filepath.Join(out, "artefact"))
		if err != nil || string(got) != content {
			t.Errorf("artefact = %q, %v; want %q", got, err, content)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(out, ".mkguest-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
