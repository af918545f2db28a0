package vsock

// chunkSize is how many bytes a chunk has room for: with the rest of it, a
// page.
const chunkSize = 4096 - 24

// chunk is a piece of what is held for a host process.
type chunk struct {
	next     *chunk
	from, to int // where in data the bytes are
	data     [chunkSize]byte
}

// maxSpare bounds the chunks kept for the next connection that needs some.
const maxSpare = 256

// store has the chunks that no connection needs, so that a slow host process
// costs no allocation per packet.
type store struct {
	spare  *chunk
	spares int
}

func (s *store) take() *chunk {
	c := s.spare
	if c == nil {
		return new(chunk)
	}
	s.spare = c.next
	s.spares--
	c.next, c.from, c.to = nil, 0, 0
	return c
}

func (s *store) give(c *chunk) {
	if s.spares < maxSpare {
		c.next = s.spare
		s.spare = c
		s.spares++
	}
}

// backlog is what a host process hasn't taken yet, in order.
type backlog struct {
	first, last *chunk
	size        int
}

// put appends the bytes of bufs, save for the first skip.
func (b *backlog) put(s *store, bufs [][]byte, skip int) {
	for _, p := range bufs {
		n := min(skip, len(p))
		skip -= n
		for p = p[n:]; len(p) > 0; p = p[n:] {
			c := b.room(s)
			n = copy(c.data[c.to:], p)
			c.to += n
			b.size += n
		}
	}
}

// room returns a last chunk that isn't full.
func (b *backlog) room(s *store) *chunk {
	switch {
	case b.last == nil:
		b.first = s.take()
		b.last = b.first
	case b.last.to == chunkSize:
		b.last.next = s.take()
		b.last = b.last.next
	}
	return b.last
}

// view appends what is held to dst.
func (b *backlog) view(dst [][]byte) [][]byte {
	for c := b.first; c != nil; c = c.next {
		dst = append(dst, c.data[c.from:c.to])
	}
	return dst
}

// drop forgets the first n bytes.
func (b *backlog) drop(s *store, n int) {
	b.size -= n
	for n > 0 {
		c := b.first
		k := min(n, c.to-c.from)
		c.from += k
		n -= k
		if c.from == c.to {
			if b.first = c.next; b.first == nil {
				b.last = nil
			}
			s.give(c)
		}
	}
}
