package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// usage is processor time: of all threads that a process has or had, and of
// those that run its vCPUs.
type usage struct{ process, vcpus time.Duration }

// outside is what devices, and everything else beside vCPUs, used.
func (u usage) outside() time.Duration { return u.process - u.vcpus }

func (u usage) since(begin usage) usage {
	return usage{u.process - begin.process, u.vcpus - begin.vcpus}
}

// usageOf looks at a worker of ours or at QEMU.
func usageOf(pid int) (u usage, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return u, err
	}
	for _, task := range tasks {
		comm, err := os.ReadFile(filepath.Join(task, "comm"))
		if err != nil || !isVCPU(string(comm)) {
			continue // it has ended, or is another
		}
		stat, err := os.ReadFile(filepath.Join(task, "schedstat"))
		if err != nil {
			return u, fmt.Errorf("processor time of a vCPU: %w", err)
		}
		var ns int64
		if _, err := fmt.Sscan(string(stat), &ns); err != nil {
			return u, fmt.Errorf("%s/schedstat: %q: %w", task, stat, err)
		}
		u.vcpus += time.Duration(ns)
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(processClock(pid), &ts); err != nil {
		return u, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	u.process = time.Duration(ts.Nano())
	return u, nil
}

// isVCPU knows our threads' names and QEMU's.
func isVCPU(comm string) bool {
	return strings.HasPrefix(comm, "vcpu") || strings.HasPrefix(comm, "CPU ")
}

// processClock is a process's clock, as clock_getcpuclockid(3) has it.
func processClock(pid int) int32 {
	const scheduled = 2 // CPUCLOCK_SCHED
	return int32(^pid)<<3 | scheduled
}
