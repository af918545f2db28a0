package vsock

// turns is the connections that have something for the guest, each once, first
// come first served.
type turns struct{ first, last *conn }

// place is a connection's place among the turns.
type place struct {
	prev, next *conn
	taken      bool
}

// push puts c at the end, unless it has a place already.
func (t *turns) push(c *conn) {
	if c.taken {
		return
	}
	c.place = place{prev: t.last, taken: true}
	if t.last == nil {
		t.first = c
	} else {
		t.last.next = c
	}
	t.last = c
}

// pop takes the first out, nil if there is none.
func (t *turns) pop() *conn {
	c := t.first
	if c != nil {
		t.remove(c)
	}
	return c
}

// remove takes c out, if it is in.
func (t *turns) remove(c *conn) {
	if !c.taken {
		return
	}
	if c.prev == nil {
		t.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		t.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.place = place{}
}
