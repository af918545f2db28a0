package virtio_test

import (
	"errors"
	"sync/atomic"
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

// newLoop starts a loop that counts how often it serves, and fails if told so.
func newLoop(t *testing.T, fail error) (l *virtio.Loop, served *atomic.Int32, failures *atomic.Int32) {
	t.Helper()
	kick, err := eventfd.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kick.Close() })
	served, failures = new(atomic.Int32), new(atomic.Int32)
	l = virtio.StartLoop(&virtio.Queue{Kick: kick}, func() error {
		served.Add(1)
		return fail
	}, func(error) { failures.Add(1) })
	return l, served, failures
}

// TestPause has a loop rest and go on, and one end while it rests.
func TestPause(t *testing.T) {
	l, served, _ := newLoop(t, nil)
	for range 100 {
		l.Pause()
		n := served.Load()
		l.Resume()
		for start := time.Now(); served.Load() == n; {
			if time.Since(start) > 10*time.Second {
				t.Fatal("it isn't served after a pause")
			}
		}
	}
	l.Pause()
	n := served.Load()
	l.Stop()
	if served.Load() != n {
		t.Error("it was served once more")
	}
}

// TestPauseAtAnyMoment has a loop rest that may just be looking whether it should.
func TestPauseAtAnyMoment(t *testing.T) {
	l, served, _ := newLoop(t, nil)
	for i := range 20_000 {
		l.Pause()
		l.Resume()
		for start := time.Now(); time.Since(start) < time.Duration(i%100)*100*time.Nanosecond; {
		}
	}
	l.Pause()
	n := served.Load()
	l.Resume()
	for start := time.Now(); served.Load() == n; {
		if time.Since(start) > 10*time.Second {
			t.Fatal("it isn't served any more")
		}
	}
	l.Stop()
}

// TestPauseAfterFailure: one that has ended rests already.
func TestPauseAfterFailure(t *testing.T) {
	l, _, failures := newLoop(t, errors.New("broken"))
	for failures.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 2 {
		l.Pause()
		l.Resume()
	}
	l.Stop()
	if failures.Load() != 1 {
		t.Errorf("%d failures", failures.Load())
	}
	var none *virtio.Loop
	none.Pause()
	none.Resume()
	none.Stop()
}
