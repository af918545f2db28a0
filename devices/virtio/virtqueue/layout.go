package virtqueue

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Layout of a split virtqueue; virtio 1.2, sections 2.7.5, 2.7.6 and 2.7.8.
const (
	descSize     = 16
	descNext     = 1 << 0
	descWrite    = 1 << 1
	descIndirect = 1 << 2

	ringHeader    = 4 // flags, idx
	availElemSize = 2
	usedElemSize  = 8
	eventSize     = 2 // used_event after the available ring, avail_event after the used ring

	offFlags = 0
	offIndex = 2

	availNoInterrupt = 1 << 0
	usedNoNotify     = 1 << 0

	descAlign  = 16
	availAlign = 2
	usedAlign  = 4
)

// MaxSize is the largest queue there can be; virtio 1.2, section 2.7.
const MaxSize = 32768

// Config is what a driver sets up for a queue.
type Config struct {
	Size  uint16 // a power of two, at most MaxSize
	Desc  memory.GPA
	Avail memory.GPA // the driver area
	Used  memory.GPA // the device area
	// EventIdx and Indirect say whether VIRTIO_F_EVENT_IDX and
	// VIRTIO_F_INDIRECT_DESC were negotiated.
	EventIdx bool
	Indirect bool
	// Start is where the queue goes on; zero for one that begins.
	Start Position
}

// Position is where a queue is between two chains: how many were taken and how
// many given back since it began, of which the lowest 16 bits count.
type Position struct{ NextAvail, NextUsed uint16 }

// areas returns the three parts of the queue in guest memory. It checks all
// that section 2.7 demands of their place and size.
func (c Config) areas(mem *memory.Memory) (desc, avail, used []byte, err error) {
	if c.Size == 0 || c.Size&(c.Size-1) != 0 || c.Size > MaxSize {
		return nil, nil, nil, &ProtocolError{"2.7", fmt.Sprintf("queue size %d is not a power of two up to %d", c.Size, MaxSize)}
	}
	n := uint64(c.Size)
	for _, area := range []struct {
		name  string
		gpa   memory.GPA
		size  uint64
		align memory.GPA
		out   *[]byte
	}{
		{"descriptor table", c.Desc, n * descSize, descAlign, &desc},
		{"available ring", c.Avail, ringHeader + n*availElemSize + eventSize, availAlign, &avail},
		{"used ring", c.Used, ringHeader + n*usedElemSize + eventSize, usedAlign, &used},
	} {
		if area.gpa%area.align != 0 {
			return nil, nil, nil, &ProtocolError{"2.7", fmt.Sprintf("%s at %v is not aligned to %d", area.name, area.gpa, area.align)}
		}
		if *area.out, err = mem.Slice(area.gpa, area.size); err != nil {
			return nil, nil, nil, &ProtocolError{"2.7", fmt.Sprintf("%s: %v", area.name, err)}
		}
	}
	return desc, avail, used, nil
}

// ProtocolError is a driver's breach of the virtio specification: the evidence
// for why its device asks for a reset.
type ProtocolError struct {
	Section string // of virtio 1.2
	What    string
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("driver broke virtio 1.2, section %s: %s", e.Section, e.What)
}
