package node_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
)

// busyCgroups can't be removed while they are busy.
type busyCgroups struct {
	cgroupNames
	busy atomic.Bool
}

func (c *busyCgroups) Remove(name string) error {
	if c.busy.Load() {
		return errors.New("its cgroup is busy")
	}
	return c.cgroupNames.Remove(name)
}

func openBusy(t *testing.T) (*fixture, *busyCgroups) {
	c := &busyCgroups{cgroupNames: cgroupNames{new(namesOfHost)}}
	return open(t, c.use, func(config *node.Config) { config.Cgroups = c }), c
}

// notRemoved checks that an error says of a pool's member that it isn't removed yet, and
// when to ask again.
func (f *fixture) notRemoved(err error, resource, subject string) {
	f.t.Helper()
	f.kindIs(err, fault.Unavailable, fault.ReasonState)
	var e *fault.Error
	if !errors.As(err, &e) || e.RetryAfter <= 0 || e.Resource != resource || e.Subject != subject || !strings.Contains(e.Error(), "its cgroup is busy") {
		f.t.Errorf("error %+v", e)
	}
}

// TestPoolCantBeRemoved deletes a pool whose members can't be removed: who does so hears
// why, however often, until they can.
func TestPoolCantBeRemoved(t *testing.T) {
	f, host := openBusy(t)
	p := f.pool("p", 2, f.template(nil))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	host.busy.Store(true)
	for _, uid := range []string{"", p.GetUid(), ""} {
		f.notRemoved(f.DeletePool(ctx, "p", uid), fault.ResourcePool, "p")
	}
	f.kindIs(f.DeletePool(ctx, "p", "another"), fault.NotFound, fault.ReasonNoPool)
	_, err := f.GetPool("p")
	f.kindIs(err, fault.NotFound, fault.ReasonNoPool)
	host.busy.Store(false)
	if err := f.DeletePool(ctx, "p", ""); err != nil && fault.KindOf(err) != fault.NotFound { // or they are gone by themselves
		t.Error(err)
	}
	if left := f.workers(); len(left)+f.memberCount(p) > 0 {
		t.Errorf("left: %q, %d members", left, f.memberCount(p))
	}
}

// TestMembersCantBeDrained drains a node whose members can't be removed. All else is
// drained before somebody hears of that.
func TestMembersCantBeDrained(t *testing.T) {
	f, host := openBusy(t)
	p := f.pool("p", 2, f.template(nil))
	f.start("box", nil, "sleep", "1000")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	host.busy.Store(true)
	for range 2 {
		_, err := f.Drain(ctx, true, time.Second)
		f.notRemoved(err, "", f.config.Name)
		f.until("box", stopped)
	}
	host.busy.Store(false)
	f.must(second(f.Drain(ctx, true, time.Second)))
	if f.memberCount(p) > 0 {
		t.Errorf("%d members", f.memberCount(p))
	}
	f.must(f.Undrain())
	f.untilFull("p")
}
