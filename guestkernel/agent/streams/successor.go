package streams

// successor waits for the connection that follows c, which broke, and returns it;
// or nil if none will, or stop is closed.
func (l *Link) successor(c *Stream, stop <-chan struct{}) *Stream {
	for {
		l.mu.Lock()
		now, since, changed, closed := l.now, l.since, l.changed, l.closed
		l.mu.Unlock()
		if closed {
			return nil
		}
		if now != c {
			return now
		}
		h := l.hub.waits(since)
		if h == nil {
			return nil
		}
		select {
		case <-changed:
		case <-h.over:
			if h.ended {
				return nil
			}
		case <-stop:
			return nil
		}
	}
}

// follow makes s, which came in a hold, the link's connection if the last one is
// broken, and reports whether it did. It doesn't block.
func (l *Link) follow(s *Stream, in *hold) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || !l.now.gone() {
		return false
	}
	// If these fail, s is broken as well, which its first use shows.
	if !l.deadline.IsZero() {
		_ = s.SetReadDeadline(l.deadline)
	}
	if l.half {
		_ = s.CloseWrite()
	}
	_ = l.now.Close()
	l.now, l.since = s, in
	close(l.changed)
	l.changed = make(chan struct{})
	return true
}

// lastHold returns the hold in which the connection there is came; nil: none.
func (l *Link) lastHold() *hold {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since
}
