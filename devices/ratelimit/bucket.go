package ratelimit

import "time"

// Rate is so much a second, and how much of it may come at once.
type Rate struct {
	PerSecond uint64 // 0: without limit
	// Burst is what may pass at once after a time of rest. 0 means what passes
	// in 10 ms; less than that is taken as that, because a timer may be late
	// by a good part of it, and what a bucket can't hold is lost.
	Burst uint64
}

// leastBurst is how long at the rate the smallest bucket takes to fill.
const leastBurst = 10 * time.Millisecond

// bucket is a token bucket that may go into debt: what is larger than the
// bucket passes when there is anything in it, and what comes next pays.
type bucket struct {
	rate   Rate
	tokens float64
	at     time.Time // when tokens was right
}

func (b *bucket) size() float64 {
	return max(float64(b.rate.Burst), float64(b.rate.PerSecond)*leastBurst.Seconds())
}

// set changes the rate. A debt stays, a bucket that is new is full.
func (b *bucket) set(r Rate, now time.Time) {
	b.fill(now)
	fresh := b.rate.PerSecond == 0
	b.rate = r
	if fresh || b.tokens > b.size() {
		b.tokens = b.size()
	}
	b.at = now
}

func (b *bucket) fill(now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(b.tokens+d.Seconds()*float64(b.rate.PerSecond), b.size())
		b.at = now
	}
}

// wait returns how long until something may pass, 0 for now.
func (b *bucket) wait(now time.Time) time.Duration {
	if b.rate.PerSecond == 0 {
		return 0
	}
	b.fill(now)
	if b.tokens > 0 {
		return 0
	}
	return time.Duration(-b.tokens/float64(b.rate.PerSecond)*float64(time.Second)) + 1
}

func (b *bucket) take(n uint64) {
	if b.rate.PerSecond != 0 {
		b.tokens -= float64(n)
	}
}
