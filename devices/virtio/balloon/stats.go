package balloon

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// Stats is what the guest says of its memory, in bytes and in numbers since it
// started; section 5.5.6.3. What it doesn't tell is 0.
type Stats struct {
	At time.Time // when it said so; zero: never

	SwapIn, SwapOut          uint64
	MajorFaults, MinorFaults uint64
	Free, Total, Available   uint64
	DiskCaches               uint64
}

// A statistic is a tag of 16 bits and a value of 64; section 5.5.6.4.
const (
	statSize = 10
	maxStats = 64
)

// field returns where a tag's value belongs, nil for one that isn't known.
func (s *Stats) field(tag uint16) *uint64 {
	fields := [...]*uint64{
		&s.SwapIn, &s.SwapOut, &s.MajorFaults, &s.MinorFaults, &s.Free, &s.Total, &s.Available, &s.DiskCaches,
	}
	if int(tag) >= len(fields) {
		return nil
	}
	return fields[tag]
}

// statsQueue holds the buffer that the guest has left, to give it back when
// new statistics are wanted; section 5.5.6.3.
type statsQueue struct {
	dev   *Device
	q     *virtio.Queue
	chain virtqueue.Chain
	buf   [statSize * maxStats]byte

	held bool   // under dev.mu, as is
	head uint16 // of the buffer held
}

func (s *statsQueue) serve() error { return s.q.Drain(s.one) }

func (s *statsQueue) one() (more bool, err error) {
	ok, err := s.q.Pop(&s.chain)
	if !ok || err != nil {
		return false, err
	}
	if n := s.chain.ReadLen(); n > len(s.buf) {
		return false, &virtqueue.ProtocolError{Section: "5.5.6.3", What: fmt.Sprintf("statistics of %d bytes", n)}
	}
	latest := Stats{At: time.Now()}
	for b := s.buf[:s.chain.Read(s.buf[:])]; len(b) >= statSize; b = b[statSize:] {
		if f := latest.field(binary.LittleEndian.Uint16(b)); f != nil {
			*f = binary.LittleEndian.Uint64(b[2:])
		}
	}
	d := s.dev
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.held {
		return false, &virtqueue.ProtocolError{Section: "5.5.6.3", What: "a second buffer of statistics"}
	}
	d.latest, s.held, s.head = latest, true, s.chain.Head
	return true, nil
}

// Stats returns what the guest said last.
func (d *Device) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.latest
}

// RefreshStats asks the guest for new statistics. It doesn't wait for them, and
// does nothing while the guest has yet to answer, or the device is suspended.
func (d *Device) RefreshStats() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.stats; s != nil && s.held && !d.resting {
		s.held = false
		s.q.Push(s.head, 0)
		s.q.Flush()
	}
}
