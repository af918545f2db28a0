package streams

import "sync"

// BufferSize is that of a buffer, in bytes.
const BufferSize = 64 << 10

// Buffers lends what bytes are copied with: in a guest a new page is dear. The
// zero value is ready for use, from any goroutine.
type Buffers struct {
	pool sync.Pool
}

// Get returns a buffer with any content. It is the caller's until Put.
func (b *Buffers) Get() *[BufferSize]byte {
	if buf, ok := b.pool.Get().(*[BufferSize]byte); ok {
		return buf
	}
	return new([BufferSize]byte)
}

// Put takes a buffer back.
func (b *Buffers) Put(buf *[BufferSize]byte) { b.pool.Put(buf) }
