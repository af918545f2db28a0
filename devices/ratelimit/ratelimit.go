// Package ratelimit bounds what a device moves, in bytes and in operations a
// second.
package ratelimit

import (
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a Limiter lets pass. The zero value is everything.
type Config struct {
	Bytes, Operations Rate
}

// Limiter is shared by the queues of a device. A nil Limiter lets everything
// pass. All methods may be called from any goroutine.
type Limiter struct {
	limited atomic.Bool // whether Take has to look further

	mu         sync.Mutex // the rest; no other lock is taken under it
	bytes, ops bucket
	now        func() time.Time
}

// New returns a Limiter with full buckets.
func New(c Config) *Limiter {
	l := &Limiter{now: time.Now}
	l.Set(c)
	return l
}

// Set changes what passes from now on; who waits notices within Nap.
func (l *Limiter) Set(c Config) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.bytes.set(c.Bytes, now)
	l.ops.set(c.Operations, now)
	l.limited.Store(c != Config{})
}

// Nap is the longest that Take asks its caller to wait before asking again.
const Nap = 50 * time.Millisecond

// Take lets so many operations of n bytes in all pass and returns 0, or returns
// how long to wait before asking again.
func (l *Limiter) Take(operations, n int) time.Duration {
	if l == nil || !l.limited.Load() {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if d := max(l.bytes.wait(now), l.ops.wait(now)); d > 0 {
		return min(d, Nap)
	}
	l.bytes.take(uint64(n))
	l.ops.take(uint64(operations))
	return 0
}
