package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/docker/go-units"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
)

const maxCPUs = 32

func checkCPUs(n int) error {
	if n < 1 || n > maxCPUs {
		return fmt.Errorf("--cpus %d: give 1 to %d", n, maxCPUs)
	}
	return nil
}

// parseMemory reads a size as docker does: a number and a unit of powers of
// 1024. It is rounded up to whole pages.
func parseMemory(s string) (uint64, error) {
	const page, least = 4096, 32 << 20
	n, err := units.RAMInBytes(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("--memory %q is not a size: give a number with a unit, such as 512M or 4G", s)
	}
	if n < least {
		return 0, fmt.Errorf("--memory %q is too small: a guest needs at least 32M", s)
	}
	return (uint64(n) + page - 1) &^ (page - 1), nil
}

// parseDisks reads PATH or PATH:ro.
func parseDisks(args []string) (disks []node.Disk, err error) {
	for _, arg := range args {
		d := node.Disk{Path: arg}
		if path, mode, ok := cutLast(arg, ":"); ok && (mode == "ro" || mode == "rw") {
			d.Path, d.ReadOnly = path, mode == "ro"
		}
		if d.Path == "" {
			return nil, fmt.Errorf("--disk %q: no path given: use PATH or PATH:ro", arg)
		}
		switch _, err := os.Stat(d.Path); {
		case err == nil:
		case d.ReadOnly || !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("--disk %q: %w", arg, err)
		default:
			return nil, fmt.Errorf("--disk %q: %w (make one with \"truncate -s 1G %s\")", arg, err, d.Path)
		}
		disks = append(disks, d)
	}
	return disks, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func parseNet(s string) (*node.Network, error) {
	if s == "none" {
		return nil, nil
	}
	tap, ok := strings.CutPrefix(s, "tap=")
	if !ok || tap == "" {
		return nil, fmt.Errorf("--net %q: give none or tap=NAME", s)
	}
	return &node.Network{Tap: tap}, nil
}

// environment completes NAME with this process's own value, as docker does.
func environment(args []string) (env []string) {
	for _, arg := range args {
		if strings.Contains(arg, "=") {
			env = append(env, arg)
		} else if value, ok := os.LookupEnv(arg); ok {
			env = append(env, arg+"="+value)
		}
	}
	return env
}
