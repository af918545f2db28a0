package main

import (
	"fmt"
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
