package worker

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/balloon"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
	"github.com/bulkhead-vm/bulkhead/vmm/timeline"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// addUsage fills in what the process has used.
func addUsage(s *vmmv1.StatsResponse, mem *memory.Memory) error {
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
		return fmt.Errorf("getrusage: %w", err)
	}
	s.UserTimeNs, s.SystemTimeNs = uint64(ru.Utime.Nano()), uint64(ru.Stime.Nano())
	var err error
	s.GuestMemoryBytes, s.OverheadMemoryBytes, err = memoryUsage(mem)
	return err
}

// guestMemory returns what the guest said last of its memory, and asks it to say
// so again.
func guestMemory(b *balloon.Device) *vmmv1.GuestMemory {
	s := b.Stats()
	b.RefreshStats()
	if s.At.IsZero() {
		return nil
	}
	return &vmmv1.GuestMemory{
		AtNs:       uint64(timeline.Now() - time.Since(s.At)),
		TotalBytes: s.Total, FreeBytes: s.Free, AvailableBytes: s.Available, DiskCacheBytes: s.DiskCaches,
		SwapInBytes: s.SwapIn, SwapOutBytes: s.SwapOut, MajorFaults: s.MajorFaults, MinorFaults: s.MinorFaults,
	}
}

// memoryUsage adds up the process's proportional set size, apart for guest RAM
// and for everything else; proc(5), /proc/pid/smaps.
func memoryUsage(mem *memory.Memory) (guest, overhead uint64, err error) {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	isGuest := false
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if start, ok := mappingStart(line); ok {
			isGuest = inGuest(mem, start)
			continue
		}
		kib, ok := pss(line)
		switch {
		case !ok:
		case isGuest:
			guest += kib << 10
		default:
			overhead += kib << 10
		}
	}
	return guest, overhead, lines.Err()
}

// mappingStart reads the line that begins a mapping, "START-END PERMS ...".
func mappingStart(line string) (uintptr, bool) {
	addresses, _, ok := strings.Cut(line, " ")
	if !ok {
		return 0, false
	}
	start, _, ok := strings.Cut(addresses, "-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(start, 16, 64)
	return uintptr(n), err == nil
}

func pss(line string) (kib uint64, ok bool) {
	rest, ok := strings.CutPrefix(line, "Pss:")
	if !ok {
		return 0, false
	}
	kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
	return kib, err == nil
}

func inGuest(mem *memory.Memory, address uintptr) bool {
	if mem == nil {
		return false
	}
	for _, r := range mem.Regions() {
		if start := r.HostAddress(); address >= start && uint64(address-start) < r.Size {
			return true
		}
	}
	return false
}
