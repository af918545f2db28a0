package virtio_test

import (
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

// TestStopWhileTheDriverFeeds has a driver that makes a chain for each that is
// served: the loop ends all the same.
func TestStopWhileTheDriverFeeds(t *testing.T) {
	heap := vqtest.NewHeap(t, 1<<20)
	driver := vqtest.New(t, heap, 8)
	queue, err := virtqueue.New(driver.Mem, driver.Config)
	if err != nil {
		t.Fatal(err)
	}
	kick, err := eventfd.New()
	if err != nil {
		t.Fatal(err)
	}
	defer kick.Close()
	q := &virtio.Queue{Queue: queue, Kick: kick, Interrupt: func() {}}
	head := driver.Add(driver.Out([]byte("again")))
	served := make(chan struct{}, 1)
	var chain virtqueue.Chain
	loop := virtio.StartLoop(q, func() error {
		return q.Each(&chain, func(*virtqueue.Chain) (uint32, error) {
			driver.Publish(head)
			select {
			case served <- struct{}{}:
			default:
			}
			return 0, nil
		})
	}, func(err error) { t.Error(err) })
	<-served
	stopped := make(chan struct{})
	go func() { loop.Stop(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(10 * time.Second):
		t.Fatal("the loop still serves")
	}
}
