package crash

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/bulkhead-vm/bulkhead/tests/durable"
)

// The writer tells through a pipe what it does, in records of this many bytes.
const recordSize = 32

// What a record says.
const (
	issued  = 1 + iota // an operation goes to the device
	acked              // the device has done operation number ...
	flushed            // a flush is done that covers so many acknowledgements
)

// journal is the writer's end. What an operation may have done is there before
// the device hears of it, and that it was done only afterwards.
type journal struct {
	mu   sync.Mutex // the rest
	pipe *os.File
	ops  uint32
	acks uint32
}

func (j *journal) record(what, n uint32, op durable.Op) error {
	var b [recordSize]byte
	le := binary.LittleEndian
	le.PutUint32(b[0:], what)
	le.PutUint32(b[4:], n)
	le.PutUint32(b[8:], uint32(op.Kind))
	le.PutUint32(b[12:], uint32(op.First))
	le.PutUint32(b[16:], uint32(op.N))
	le.PutUint64(b[24:], uint64(op.Stamp))
	_, err := j.pipe.Write(b[:])
	return err
}

func (j *journal) issue(op durable.Op) (number uint32, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ops++
	return j.ops - 1, j.record(issued, 0, op)
}

func (j *journal) ack(number uint32) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.acks++
	return j.record(acked, number, durable.Op{})
}

// covers returns what a flush that is about to be made covers.
func (j *journal) covers() uint32 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.acks
}

func (j *journal) flush(covers uint32) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.record(flushed, covers, durable.Op{})
}

// story is what the parent has read of a journal.
type story struct {
	ops     []durable.Op
	acks    []uint32 // operations in the order of their acknowledgements
	stable  uint32   // of the acknowledgements
	flushes int
}

// read reads until the writer is dead. It calls first after the first record.
func (s *story) read(r io.Reader, first func()) error {
	var b [recordSize]byte
	for ; ; first = func() {} {
		switch _, err := io.ReadFull(r, b[:]); {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("journal: %w", err)
		}
		first()
		le := binary.LittleEndian
		switch n := le.Uint32(b[4:]); le.Uint32(b[0:]) {
		case issued:
			s.ops = append(s.ops, durable.Op{
				Kind: durable.Kind(le.Uint32(b[8:])), First: int(le.Uint32(b[12:])), N: int(le.Uint32(b[16:])),
				Stamp: durable.Stamp(le.Uint64(b[24:])),
			})
		case acked:
			s.acks = append(s.acks, n)
		case flushed:
			s.stable = max(s.stable, n)
			s.flushes++
		default:
			return errors.New("journal: unknown record")
		}
	}
}

// tell does to d what the writer did to its disk.
func (s *story) tell(d *durable.Disk) {
	stable := make([]bool, len(s.ops))
	for _, op := range s.acks[:s.stable] {
		stable[op] = true
	}
	for i, op := range s.ops {
		d.Apply(op, stable[i])
	}
}
