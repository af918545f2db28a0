package vsock

// maxReplies bounds the resets owed to packets that belong to no connection:
// the additional resources of section 5.10.6.1.
const maxReplies = 256

// replies is a queue of such resets.
type replies struct {
	ring     [maxReplies]header
	first, n int
}

func (r *replies) empty() bool { return r.n == 0 }
func (r *replies) full() bool  { return r.n == maxReplies }

// push appends h to a queue that isn't full.
func (r *replies) push(h header) {
	r.ring[(r.first+r.n)%maxReplies] = h
	r.n++
}

// pop takes the first out of a queue that isn't empty. It is good until the
// next push.
func (r *replies) pop() *header {
	h := &r.ring[r.first]
	r.first = (r.first + 1) % maxReplies
	r.n--
	return h
}

func (r *replies) clear() { r.first, r.n = 0, 0 }
