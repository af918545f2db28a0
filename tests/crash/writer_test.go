package crash

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtiotest"
	"github.com/bulkhead-vm/bulkhead/tests/durable"
)

// What a writer is told: its kind of disk, where that is, and which of the
// processes it is that write it, from 0 on.
const (
	envWriter = "BULKHEAD_CRASH_WRITER"
	envDir    = "BULKHEAD_CRASH_DIR"
	envRound  = "BULKHEAD_CRASH_ROUND"
)

const (
	queues   = 3
	inFlight = 6   // of each queue
	longest  = 128 // units of one request
	pipeFD   = 3   // that the parent left
	lifetime = time.Minute

	featureFlush = 1 << 9 // VIRTIO_BLK_F_FLUSH; virtio 1.2, section 5.2.3
)

// writer is a driver of a block device that never rests.
type writer struct {
	*virtiotest.Harness
	journal journal
	disk    disk
	align   int           // units of the smallest read or write
	crowd   atomic.Uint32 // the unit around which all queues crowd

	mu   sync.Mutex    // the rest; the journal's is taken under it
	live *durable.Disk // what a read finds, save where something is in flight
	busy []bool        // by unit: something is in flight
	next durable.Stamp
}

// write writes until it is killed.
func write(t *testing.T) {
	d, dir := disks[os.Getenv(envWriter)], os.Getenv(envDir)
	w := &writer{
		disk: d, journal: journal{pipe: os.NewFile(pipeFD, "journal")},
		live: durable.New(d.units(), unitSize, first), busy: make([]bool, d.units()),
		next: durable.Stamp(number(t, envRound, 0)+1) << 32,
	}
	b := d.open(t, dir)
	w.align = int(b.BlockSize()) / unitSize
	w.live.Settle(reader{b}) // the parent has complained if there was reason to
	dev, err := blk.New(blk.Config{Backend: b, Queues: queues})
	if err != nil {
		t.Fatal(err)
	}
	o := virtiotest.Options{Features: featureFlush, MaxQueueSize: 64}
	if d.writeThrough {
		o.Features = 0
	}
	w.Harness = virtiotest.Start(t, dev, o)
	w.crowd.Store(rand.New(rand.NewPCG(number(t, envSeed, 0), queues)).Uint32())
	for q := range queues {
		l := newLine(w, q, rand.New(rand.NewPCG(number(t, envSeed, 0), uint64(q))))
		go func() {
			for {
				l.step()
			}
		}()
	}
	time.Sleep(lifetime)
	t.Error("nobody killed the writer")
}

// claim takes units that nothing is in flight for, and the operation on them to
// the journal.
func (w *writer) claim(op *durable.Op, changes bool) (number uint32, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, busy := range w.busy[op.First:][:op.N] {
		if busy {
			return 0, false
		}
	}
	w.mark(*op, true)
	if !changes {
		return 0, true
	}
	w.next++
	op.Stamp = w.next
	number, err := w.journal.issue(*op)
	if err != nil {
		panic(err) // the parent is gone
	}
	return number, true
}

func (w *writer) mark(op durable.Op, busy bool) {
	for i := range w.busy[op.First:][:op.N] {
		w.busy[op.First+i] = busy
	}
}

// release says that the operation is done, and checks what it read, if it is
// one that reads.
func (w *writer) release(r *request) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.mark(r.op, false)
	if r.changes() {
		w.live.Apply(r.op, true)
		return w.acknowledge(r.number)
	}
	for i := range r.op.N {
		if err := w.live.May(r.op.First+i, r.data[i*unitSize:][:unitSize]); err != nil {
			return err
		}
	}
	return nil
}

// acknowledge takes what is done to the journal. Without a cache it is stable
// at once.
func (w *writer) acknowledge(number uint32) error {
	err := w.journal.ack(number)
	if err == nil && w.disk.writeThrough {
		err = w.journal.flush(w.journal.covers())
	}
	return err
}

func header(kind uint32, sector int) []byte {
	b := make([]byte, 16)
	binary.LittleEndian.PutUint32(b, kind)
	binary.LittleEndian.PutUint64(b[8:], uint64(sector))
	return b
}
