package e2e

import (
	"context"
	"testing"
	"time"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// TestBalloon has a guest use memory and free it: the host gets it back without
// asking. Asked for more, the guest gives it, and gets it back.
func TestBalloon(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	m := startMachine(t, ctx, &vmmv1.MachineConfig{Balloon: true})

	const written, size = 4 << 20, 16 << 20
	m.run("dd", "if=/dev/zero", "of=/tmp/x", "bs=65536", "count=64")
	peak := m.stats().GetGuestMemoryBytes()
	m.run("rm", "/tmp/x")
	m.eventually("what the guest freed is the host's again", func() bool {
		return m.stats().GetGuestMemoryBytes() < peak-written/2
	})

	var before *vmmv1.GuestMemory
	m.eventually("the guest tells of its memory", func() bool {
		before = m.stats().GetGuestMemory()
		return before.GetFreeBytes() > 0
	})
	m.setBalloon(size)
	m.eventually("the balloon is full", func() bool { return m.stats().GetBalloonBytes() == size })
	m.eventually("the guest tells that it has less", func() bool {
		return m.stats().GetGuestMemory().GetFreeBytes() < before.GetFreeBytes()-size/2
	})
	m.setBalloon(0)
	m.eventually("the balloon is empty", func() bool { return m.stats().GetBalloonBytes() == 0 })
	m.run("true")
}
