package balloon_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/balloon"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// TestRestore has a balloon go on in another device: its size, what it is to be,
// and the buffer for statistics that it holds, which the driver gets back once.
func TestRestore(t *testing.T) {
	d := balloon.New()
	h := virtiotest.Start(t, d, virtiotest.Options{Features: featureStats | featureReporting, MaxQueueSize: 16, Transport: virtiotest.MMIO})
	d.SetTarget(5 * 4096)
	d.WriteConfig(4, []byte{3, 0, 0, 0})
	head := h.Queues[stats].Add(h.Queues[stats].Out(make([]byte, 10)))
	h.Kick(stats)
	for d.Stats().At.IsZero() {
		time.Sleep(time.Millisecond)
	}
	h.Suspend()
	d.RefreshStats() // nothing is given back while it rests
	if _, _, ok := h.Queues[stats].Used(); ok {
		t.Error("a device that rests gave a buffer back")
	}
	next := balloon.New()
	h.Restore(next, h.Save())
	if next.Actual() != 3*4096 {
		t.Errorf("the balloon has %d bytes", next.Actual())
	}
	var target [4]byte
	if next.ReadConfig(0, target[:]); binary.LittleEndian.Uint32(target[:]) != 5 {
		t.Errorf("it is to have %d pages", target)
	}
	next.RefreshStats()
	if back, _ := h.WaitUsed(stats); back != head {
		t.Errorf("chain %d is back, want %d", back, head)
	}
	h.Queues[stats].Publish(head)
	h.Kick(stats)
	for next.Stats().At.IsZero() {
		time.Sleep(time.Millisecond)
	}
	if f := h.Failures(); len(f) > 0 {
		t.Error(f)
	}
}

func TestRestoreOfAnother(t *testing.T) {
	if balloon.New().Restore(new(statev1.Device)) == nil {
		t.Error("a device without a balloon will do")
	}
}
