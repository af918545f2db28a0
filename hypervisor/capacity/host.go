package capacity

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// Host returns what this host has.
func Host() (Resources, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return Resources{}, fmt.Errorf("the host's memory: %w", err)
	}
	memory, err := memTotal(b)
	if err != nil {
		return Resources{}, fmt.Errorf("the host's memory: %w", err)
	}
	return Resources{CPUs: float64(runtime.NumCPU()), Memory: memory}, nil
}

// memTotal reads the file of that name; proc(5).
func memTotal(meminfo []byte) (uint64, error) {
	lines := bufio.NewScanner(bytes.NewReader(meminfo))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "MemTotal:"); ok {
			kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no MemTotal in %d bytes of /proc/meminfo", len(meminfo))
}

// Policy says how much of a host sandboxes may be given.
type Policy struct {
	// Reserved is kept for the host itself.
	Reserved Resources
	// Overcommit is how often the rest may be given. 0 means 4 for processors,
	// which sandboxes rarely keep busy, and 1 for memory, which they keep.
	Overcommit Overcommit
}

// Overcommit is a factor for each resource.
type Overcommit struct{ CPUs, Memory float64 }

// Allocatable returns what of host may be given.
func (p Policy) Allocatable(host Resources) Resources {
	cpus, memory := p.Overcommit.CPUs, p.Overcommit.Memory
	if cpus == 0 {
		cpus = 4
	}
	if memory == 0 {
		memory = 1
	}
	return Resources{
		CPUs:   max(host.CPUs-p.Reserved.CPUs, 0) * cpus,
		Memory: uint64(max(float64(host.Memory)-float64(p.Reserved.Memory), 0) * memory),
	}
}
