// Package health reads how the guest as a whole is doing.
package health

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/plainfile"
)

const maxMeminfo = 64 << 10

// Memory is in bytes.
type Memory struct {
	Total     uint64
	Available uint64 // without swapping
}

// ReadMemory returns the guest's memory.
func ReadMemory() (Memory, error) {
	b, err := plainfile.Read("/proc/meminfo", maxMeminfo)
	if err != nil {
		return Memory{}, fmt.Errorf("memory of the guest: %w", err)
	}
	return parse(string(b)), nil
}

func parse(meminfo string) (m Memory) {
	for line := range strings.Lines(meminfo) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "MemTotal":
			m.Total = kibibytes(value)
		case "MemAvailable":
			m.Available = kibibytes(value)
			return m
		}
	}
	return m
}

func kibibytes(s string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(s), " kB"), 10, 54)
	if err != nil {
		return 0
	}
	return n << 10
}

// Uptime returns how long the guest has existed, the time it was paused
// included.
func Uptime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// KernelRelease returns what "uname -r" says.
func KernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
