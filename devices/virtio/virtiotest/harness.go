// Package virtiotest runs a virtio device without a machine: on queues in test
// memory, driven by vqtest, behind a transport or none.
package virtiotest

import (
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/eventfd"
	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue/vqtest"
)

// patience is how long a device may take to answer.
const patience = 10 * time.Second

// Harness is a device with its driver's side of every queue.
type Harness struct {
	Device virtio.Device
	Heap   *vqtest.Heap
	Queues []*vqtest.Driver

	t          testing.TB
	port       *Port // nil: none
	kicks      []*eventfd.EventFD
	interrupts []*eventfd.EventFD
	reset      sync.Once

	mu       sync.Mutex
	failures []error
	changes  int           // of the configuration space
	failed   chan struct{} // closed at the first failure
}

// Options change how a device is run.
type Options struct {
	Features uint64 // accepted by the driver, of the device type's own
	Memory   uint64 // bytes of guest memory; 0 means 16 MiB
	// MaxQueueSize, if not 0, makes queues smaller than the device offers.
	MaxQueueSize uint16
	// Transport is what the driver reaches the device by. Empty: it is
	// activated without any.
	Transport Transport
	// Mapped makes guest memory as a machine has it, which can be given back to
	// the host. Other memory is watched by the race detector.
	Mapped bool
}

// Start activates dev. It is reset when the test ends.
func Start(t testing.TB, dev virtio.Device, o Options) *Harness {
	t.Helper()
	if o.Memory == 0 {
		o.Memory = 16 << 20
	}
	newHeap := vqtest.NewHeap
	if o.Mapped {
		newHeap = vqtest.NewMapped
	}
	h := &Harness{Device: dev, Heap: newHeap(t, o.Memory), t: t, failed: make(chan struct{})}
	for _, size := range dev.QueueSizes() {
		if o.MaxQueueSize != 0 {
			size = min(size, o.MaxQueueSize)
		}
		h.Queues = append(h.Queues, vqtest.New(t, h.Heap, size))
	}
	if o.Transport == "" {
		h.activate(o.Features)
	} else {
		h.plug(o.Transport, o.Features)
	}
	t.Cleanup(h.Reset)
	return h
}

func newEventFD(t testing.TB) *eventfd.EventFD {
	t.Helper()
	e, err := eventfd.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func (h *Harness) activate(features uint64) {
	h.t.Helper()
	a := virtio.Activation{
		Memory:        h.Heap.Mem,
		Features:      features,
		Fail:          h.fail,
		ConfigChanged: h.configChanged,
	}
	for _, d := range h.Queues {
		d.Config.Indirect = true
		q, err := virtqueue.New(d.Mem, d.Config)
		if err != nil {
			h.t.Fatal(err)
		}
		kick, irq := newEventFD(h.t), newEventFD(h.t)
		h.kicks, h.interrupts = append(h.kicks, kick), append(h.interrupts, irq)
		a.Queues = append(a.Queues, &virtio.Queue{
			Queue: q, Kick: kick, Interrupt: func() { irq.Signal() }, Counters: new(virtio.Counters),
		})
	}
	if err := h.Device.Activate(a); err != nil {
		h.t.Fatal(err)
	}
}

// plug starts the device as a driver does.
func (h *Harness) plug(transport Transport, features uint64) {
	h.t.Helper()
	p := Plug(h.t, transport, h.Device, h.Heap.Mem, h.fail)
	h.t.Cleanup(func() { p.Close() })
	h.port = p
	p.Negotiate(features | virtio.FeatureVersion1 | virtio.FeatureIndirectDesc)
	for i, d := range h.Queues {
		p.Place(i, d.Config.Size, d.Config.Desc, d.Config.Avail, d.Config.Used)
		p.Set(QueueReady, 1)
		h.interrupts = append(h.interrupts, p.Interrupt(i))
	}
	if p.Set(Status, Running); p.Get(Status) != Running {
		h.t.Fatalf("status %#x after a correct start; failures: %v", p.Get(Status), h.Failures())
	}
}

func (h *Harness) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures = append(h.failures, err)
	if len(h.failures) == 1 {
		close(h.failed)
	}
}

func (h *Harness) configChanged() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes++
}

// ConfigChanges returns how often the device said that its configuration space
// changed.
func (h *Harness) ConfigChanges() int {
	if h.port != nil {
		return int(h.port.Generation())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changes
}

// Reset resets the device, once, as the driver would.
func (h *Harness) Reset() {
	h.reset.Do(func() {
		if h.port == nil {
			h.Device.Reset()
		} else {
			h.port.Set(Status, 0)
		}
	})
}

// Kick notifies the device of queue i.
func (h *Harness) Kick(i int) {
	h.t.Helper()
	if h.port != nil {
		h.port.Notify(uint32(i))
		return
	}
	if err := h.kicks[i].Signal(); err != nil {
		h.t.Fatal(err)
	}
}

// WaitUsed waits until the device gives back a chain of queue i.
func (h *Harness) WaitUsed(i int) (head uint16, n uint32) {
	h.t.Helper()
	if head, n, ok := h.Queues[i].Used(); ok {
		return head, n
	}
	stop := time.AfterFunc(patience, func() { h.interrupts[i].Signal() })
	defer stop.Stop()
	for start := time.Now(); ; {
		if head, n, ok := h.Queues[i].Used(); ok {
			return head, n
		}
		if time.Since(start) >= patience {
			h.t.Fatalf("device gave nothing back on queue %d within %v; failures: %v", i, patience, h.Failures())
		}
		if _, err := h.interrupts[i].Wait(); err != nil {
			h.t.Fatal(err)
		}
	}
}

// Do makes a chain available on queue i, kicks and waits for it to come back.
func (h *Harness) Do(i int, buffers ...vqtest.Buffer) (n uint32) {
	h.t.Helper()
	want := h.Queues[i].Add(buffers...)
	h.Kick(i)
	head, n := h.WaitUsed(i)
	if head != want {
		h.t.Fatalf("device gave back chain %d, want %d", head, want)
	}
	return n
}

// WaitFailure waits until the device asks for a reset.
func (h *Harness) WaitFailure() error {
	h.t.Helper()
	select {
	case <-h.failed:
		return h.Failures()[0]
	case <-time.After(patience):
		h.t.Fatalf("device did not ask for a reset within %v", patience)
		return nil
	}
}

// Failures returns why the device asked for a reset so far.
func (h *Harness) Failures() []error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]error(nil), h.failures...)
}
