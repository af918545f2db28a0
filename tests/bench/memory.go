package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const mib = 1 << 20

// spareMemory is what is left of the host's memory for others, whatever is measured.
const spareMemory = 2 << 30

// memAvailable returns how many bytes the host could give without swapping; proc(5).
func memAvailable() (uint64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	return parseMemAvailable(string(text))
}

func parseMemAvailable(meminfo string) (uint64, error) {
	_, rest, _ := strings.Cut(meminfo, "MemAvailable:")
	var kib uint64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return 0, fmt.Errorf("MemAvailable in /proc/meminfo: %w", err)
	}
	return kib << 10, nil
}

// room returns for how many sandboxes that take each bytes available has room.
func room(available, each uint64) int {
	if available <= spareMemory || each == 0 {
		return 0
	}
	return int((available - spareMemory) / each)
}

// footprint is memory of the host's that sandboxes have (PSS), in bytes.
type footprint struct{ guests, workers uint64 }

func (f footprint) sum() uint64 { return f.guests + f.workers }

// footprint adds up what some sandboxes have.
func (d *daemon) footprint(ctx context.Context, names []string) (f footprint, err error) {
	for _, name := range names {
		s, err := d.stats(ctx, name)
		if err != nil {
			return f, err
		}
		f.guests += s.GetMemoryBytes()
		f.workers += s.GetOverheadBytes()
	}
	return f, nil
}

func (d *daemon) stats(ctx context.Context, name string) (*bulkheadv1.SandboxStats, error) {
	r, err := d.GetSandboxStats(ctx, &bulkheadv1.GetSandboxStatsRequest{Name: name})
	if err != nil {
		return nil, fmt.Errorf("memory of %s: %w", name, err)
	}
	return r.GetStats(), nil
}

// deleteAll ends sandboxes, several at a time.
func (d *daemon) deleteAll(ctx context.Context, names []string) error {
	return atOnce(names, func(name string) error { return d.delete(ctx, name) })
}
