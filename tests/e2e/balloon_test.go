package e2e

import (
	"context"
	"testing"
	"time"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// TestBalloon has a guest keep a disk in its page cache: the host gets that
// memory back when the balloon is inflated, and the guest gets it back when it
// is deflated.
func TestBalloon(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	const memory, cached, slack = 64 << 20, 4 << 20, 1 << 20
	m := startMachine(t, ctx, &vmmv1.MachineConfig{
		MemoryBytes: memory, Balloon: true,
		Disks: []*vmmv1.Disk{{Path: randomFile(t, cached), ReadOnly: true}},
	})
	m.start("sh", "-c", "sleep 1000 < /dev/vdb") // or the last to close it would empty its page cache
	before := m.stats()
	m.run("dd", "if=/dev/vdb", "of=/dev/null", "bs=65536")
	var full *vmmv1.StatsResponse
	m.eventually("the guest tells what it has in its page cache", func() bool {
		full = m.stats()
		return full.GetGuestMemory().GetAtNs() > before.GetGuestMemory().GetAtNs() && full.GetGuestMemory().GetDiskCacheBytes() >= cached
	})

	// More than is free, so that the page cache has to give way.
	g := full.GetGuestMemory()
	target := (g.GetFreeBytes() + cached/2) &^ 4095
	m.setBalloon(target)
	var small *vmmv1.StatsResponse
	m.eventually("the balloon is full", func() bool {
		small = m.stats()
		return small.GetBalloonBytes() == target
	})
	t.Logf("guest memory on the host: %d KiB, %d with the page cache full, %d with a balloon of %d; the guest says: %v, then %v",
		before.GetGuestMemoryBytes()>>10, full.GetGuestMemoryBytes()>>10, small.GetGuestMemoryBytes()>>10, target>>10, g, small.GetGuestMemory())
	if n := small.GetGuestMemoryBytes(); n > memory-target+slack || n > full.GetGuestMemoryBytes()-cached/4 {
		t.Errorf("the guest has %d bytes of memory on the host", n)
	}
	m.setBalloon(0)
	m.eventually("the balloon is empty", func() bool { return m.stats().GetBalloonBytes() == 0 })
	m.run("dd", "if=/dev/vdb", "of=/dev/null", "bs=65536", "count=8")
}
