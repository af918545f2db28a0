package virtqueue

import (
	"encoding/binary"
	"fmt"

	"github.com/bulkhead-vm/bulkhead/vmm/memory"
)

// Chain is one request: buffers to read from and buffers to write to, in guest
// memory. The guest may change their contents at any time, so what is to be
// checked is to be copied out first. The zero value is ready for Pop, which
// reuses its arrays.
type Chain struct {
	Head     uint16
	Readable [][]byte // for the device to read, none empty
	Writable [][]byte // for the device to write, none empty

	readLen, writeLen int
}

// ReadLen returns the number of readable bytes.
func (c *Chain) ReadLen() int { return c.readLen }

// WriteLen returns the number of writable bytes.
func (c *Chain) WriteLen() int { return c.writeLen }

func (c *Chain) reset(head uint16) {
	c.Head, c.readLen, c.writeLen = head, 0, 0
	c.Readable, c.Writable = c.Readable[:0], c.Writable[:0]
}

// descriptor is the host's own copy of one descriptor.
type descriptor struct {
	addr  memory.GPA
	len   uint32
	flags uint16
	next  uint16
}

func readDescriptor(table []byte, i uint16) descriptor {
	b := table[descSize*int(i):][:descSize]
	return descriptor{
		addr:  memory.GPA(binary.LittleEndian.Uint64(b)),
		len:   binary.LittleEndian.Uint32(b[8:]),
		flags: binary.LittleEndian.Uint16(b[12:]),
		next:  binary.LittleEndian.Uint16(b[14:]),
	}
}

// walk collects the chain that starts at head: descriptors of the queue's own
// table, of which the last may refer to an indirect table that goes on.
func (q *Queue) walk(c *Chain, head uint16) error {
	c.reset(head)
	if head >= q.size {
		return &ProtocolError{"2.7.13", fmt.Sprintf("descriptor %d of %d was made available", head, q.size)}
	}
	table, n := q.desc, q.size
	d := readDescriptor(table, head)
	inIndirect := false
	for count := uint16(0); count < q.size; count++ {
		if d.flags&descIndirect != 0 {
			if inIndirect {
				return &ProtocolError{"2.7.5.3.1", "indirect descriptor inside an indirect table"}
			}
			var err error
			if table, err = q.indirectTable(d); err != nil {
				return err
			}
			inIndirect, n = true, uint16(len(table)/descSize)
			if d = readDescriptor(table, 0); d.flags&descIndirect != 0 {
				continue
			}
		}
		if err := q.add(c, d); err != nil {
			return err
		}
		if d.flags&descNext == 0 {
			return nil
		}
		if d.next >= n {
			return &ProtocolError{"2.7.5", fmt.Sprintf("next descriptor %d of %d", d.next, n)}
		}
		d = readDescriptor(table, d.next)
	}
	// Section 2.7.5.3.1: no chain is longer than the queue. This one is, or
	// it runs in circles.
	return &ProtocolError{"2.7.5.3.1", fmt.Sprintf("chain of more than %d descriptors", q.size)}
}

// indirectTable returns the table that d points to; section 2.7.5.3.
func (q *Queue) indirectTable(d descriptor) ([]byte, error) {
	switch {
	case !q.indirect:
		return nil, &ProtocolError{"2.7.5.3.1", "indirect descriptor though the feature was not negotiated"}
	case d.flags&descNext != 0:
		return nil, &ProtocolError{"2.7.5.3.1", "indirect descriptor with a next one"}
	case d.len == 0 || d.len%descSize != 0 || d.len/descSize > MaxSize:
		return nil, &ProtocolError{"2.7.5.3", fmt.Sprintf("indirect table of %d bytes", d.len)}
	}
	table, err := q.mem.Slice(d.addr, uint64(d.len))
	if err != nil {
		return nil, &ProtocolError{"2.7.5.3", fmt.Sprintf("indirect table: %v", err)}
	}
	return table, nil
}

// add appends the buffer of one descriptor.
func (q *Queue) add(c *Chain, d descriptor) error {
	b, err := q.mem.Slice(d.addr, uint64(d.len))
	if err != nil {
		return &ProtocolError{"2.7.5", fmt.Sprintf("buffer: %v", err)}
	}
	// Section 2.7.5.2: no chain is longer than 2^32 bytes in total.
	if uint64(c.readLen)+uint64(c.writeLen)+uint64(d.len) > 1<<32 {
		return &ProtocolError{"2.7.5.2", "descriptor chain of more than 4 GiB"}
	}
	switch {
	case d.flags&descWrite != 0:
		c.writeLen += len(b)
		if len(b) > 0 {
			c.Writable = append(c.Writable, b)
		}
	case c.writeLen > 0:
		return &ProtocolError{"2.7.4.2", "readable buffer after a writable one"}
	default:
		c.readLen += len(b)
		if len(b) > 0 {
			c.Readable = append(c.Readable, b)
		}
	}
	return nil
}
