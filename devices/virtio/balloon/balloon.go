// Package balloon is the virtio traditional memory balloon, virtio 1.2 section
// 5.5: a guest gives memory back to its host when asked to (inflate), and on
// its own accord what it doesn't use (free page reporting).
package balloon

import (
	"encoding/binary"
	"sync"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"

	statev1 "github.com/bulkhead-vm/bulkhead/vmm/state/v1"
)

// Feature bits; section 5.5.3.
const (
	featureStats        = 1 << 1
	featureDeflateOnOOM = 1 << 2
	featureReporting    = 1 << 5
)

const (
	queueSize = 128
	maxQueues = 4

	// pageSize is the unit of the balloon, whatever the guest's pages are;
	// section 5.5.6.
	pageSize = 4096

	// Configuration space; section 5.5.4.
	configSize  = 16
	offNumPages = 0
	offActual   = 4
)

// Device is a balloon.
type Device struct {
	// mu guards all of it. A queue's lock and, through changed, the transport's
	// are taken under it.
	mu      sync.Mutex
	space   [configSize]byte
	changed func() // tells the driver of a new target; nil while there is none
	loops   []*virtio.Loop
	stats   *statsQueue // nil while there is none
	latest  Stats
	resting bool // suspended: no buffer is given back
	// saved is where the next Activate goes on; nil: it begins.
	saved *statev1.Balloon
}

// New returns an empty balloon.
func New() *Device { return new(Device) }

// ID implements virtio.Device.
func (d *Device) ID() virtio.ID { return virtio.IDBalloon }

// Features implements virtio.Device.
func (d *Device) Features() uint64 {
	return featureStats | featureDeflateOnOOM | featureReporting
}

// QueueSizes implements virtio.Device: inflate, deflate, statistics and
// reporting, where a queue whose feature isn't negotiated is left out.
func (d *Device) QueueSizes() []uint16 {
	sizes := make([]uint16, maxQueues)
	for i := range sizes {
		sizes[i] = queueSize
	}
	return sizes
}

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(offset uint64, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	virtio.ReadConfig(d.space[:], offset, data)
}

// WriteConfig implements virtio.Device: the driver says how large the balloon
// is.
func (d *Device) WriteConfig(offset uint64, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if offset == offActual && len(data) == 4 {
		copy(d.space[offActual:], data)
	}
}

// SetTarget asks the guest to make the balloon so many bytes large, rounded
// down to pages. It may be called from any goroutine.
func (d *Device) SetTarget(bytes uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	binary.LittleEndian.PutUint32(d.space[offNumPages:], uint32(min(bytes/pageSize, 1<<32-1)))
	if d.changed != nil {
		d.changed()
	}
}

// Actual returns how many bytes the guest says the balloon has.
func (d *Device) Actual() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return uint64(binary.LittleEndian.Uint32(d.space[offActual:])) * pageSize
}

// Activate implements virtio.Device.
func (d *Device) Activate(a virtio.Activation) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed = a.ConfigChanged
	next := 0
	take := func(there bool) *virtio.Queue {
		if !there {
			return nil
		}
		next++
		return a.Queues[next-1]
	}
	start := func(q *virtio.Queue, serve func(*virtio.Queue) func() error) {
		if q != nil {
			d.loops = append(d.loops, virtio.StartLoop(q, serve(q), a.Fail))
		}
	}
	start(take(true), func(q *virtio.Queue) func() error { return newInflater(q, a.Memory).serve })
	start(take(true), func(q *virtio.Queue) func() error { return newDeflater(q).serve })
	start(take(a.Features&featureStats != 0), func(q *virtio.Queue) func() error {
		d.stats = &statsQueue{dev: d, q: q, held: d.saved.GetStatisticsHeld(), head: uint16(d.saved.GetStatisticsHead())}
		return d.stats.serve
	})
	start(take(a.Features&featureReporting != 0), func(q *virtio.Queue) func() error { return newReporter(q, a.Memory).serve })
	d.saved = nil
	return nil
}

// Reset implements virtio.Device. The pages in the balloon are the guest's
// again, which finds them empty.
func (d *Device) Reset() {
	d.mu.Lock()
	loops := d.loops
	d.loops, d.changed, d.stats, d.saved = nil, nil, nil, nil
	d.resting = false
	clear(d.space[offActual:][:4])
	d.mu.Unlock()
	for _, l := range loops {
		l.Stop()
	}
}

// release gives pages back to the host. That it can't is no matter of the
// guest's, which has given them up all the same.
func release(m *memory.Memory, b []byte) { m.Release(b) }
