package virtio

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

// TestUndoIsNotCounted takes a chain, puts it back and takes it again: as one that
// reads the counters at any time sees it, that is one.
func TestUndoIsNotCounted(t *testing.T) {
	driver := vqtest.New(t, vqtest.NewHeap(t, 1<<20), 8)
	queue, err := virtqueue.New(driver.Mem, driver.Config)
	if err != nil {
		t.Fatal(err)
	}
	q := &Queue{Queue: queue, Interrupt: func() {}, Counters: new(Counters)}
	var chain virtqueue.Chain
	for i := range uint64(5) {
		driver.Add(driver.Out(make([]byte, 10)))
		for range i {
			pop(t, q, &chain)
			q.Undo()
		}
		pop(t, q, &chain)
		if got := q.Counters.requests.load(); got != i+1 {
			t.Errorf("%d chains were counted, want %d", got, i+1)
		}
		if got := q.Counters.fromGuest.load(); got != 10*(i+1) {
			t.Errorf("%d bytes were counted, want %d", got, 10*(i+1))
		}
	}
	for range 3 { // several at once
		driver.Add(driver.Out(make([]byte, 10)))
	}
	for range 2 {
		for range 3 {
			pop(t, q, &chain)
		}
		for range 3 {
			q.Undo()
		}
	}
	pop(t, q, &chain)
	if got := q.Counters.requests.load(); got != 5+3 {
		t.Errorf("%d chains were counted, want %d", got, 5+3)
	}
}

func pop(t *testing.T, q *Queue, chain *virtqueue.Chain) {
	t.Helper()
	if ok, err := q.Pop(chain); !ok || err != nil {
		t.Fatal(ok, err)
	}
}
