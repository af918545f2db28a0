package blk

// Backend stores a disk's bytes. Its methods may overlap. Offsets and lengths
// are multiples of BlockSize within Size.
type Backend interface {
	Size() uint64 // bytes
	ReadOnly() bool
	// BlockSize is the smallest unit of a read or write: a power of two, 512
	// or more.
	BlockSize() uint32
	ReadAt(bufs [][]byte, off int64) error
	WriteAt(bufs [][]byte, off int64) error
	// Flush makes every write that has returned durable.
	Flush() error
	// Discard says that nobody needs n bytes from off on any more. What they
	// read as afterwards is undefined.
	Discard(off, n int64) error
	// WriteZeroes makes n bytes from off on read as zeroes. It may give their
	// room back if unmap is set, and must keep it otherwise.
	WriteZeroes(off, n int64, unmap bool) error
}

// Prompt is what a Backend also implements if it can serve a request without
// waiting for a disk, from memory. It reports false, and leaves nothing done
// that matters, where it can't: the request is then one of several in flight.
type Prompt interface {
	TryReadAt(bufs [][]byte, off int64) (done bool, err error)
	TryWriteAt(bufs [][]byte, off int64) (done bool, err error)
}

// slow is a Backend that always waits.
type slow struct{}

func (slow) TryReadAt([][]byte, int64) (bool, error)  { return false, nil }
func (slow) TryWriteAt([][]byte, int64) (bool, error) { return false, nil }
