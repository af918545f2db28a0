package pager

import (
	"math/bits"
	"sync/atomic"
)

// pages is a set of pages, for any goroutine.
type pages []atomic.Uint64

func newPages(n uint64) pages { return make(pages, (n+63)/64) }

func (p pages) has(page uint64) bool { return p[page/64].Load()>>(page%64)&1 != 0 }

// hasAll reports whether all pages between two are in.
func (p pages) hasAll(from, to uint64) bool { return p.end(from, to, true) == to }

// add puts all pages between two in.
func (p pages) add(from, to uint64) {
	for from < to {
		n := min(64-from%64, to-from)
		word, bits := &p[from/64], ^uint64(0)>>(64-n)<<(from%64)
		if word.Load()&bits != bits { // most often they are: others needn't lose the cache line
			word.Or(bits)
		}
		from += n
	}
}

// end returns up to where, between two pages, those go on that are in, or aren't.
func (p pages) end(from, to uint64, in bool) uint64 {
	for from < to {
		word := p[from/64].Load()
		if in {
			word = ^word
		}
		if n := uint64(bits.TrailingZeros64(word >> (from % 64))); from%64+n < 64 {
			return min(from+n, to)
		}
		from += 64 - from%64
	}
	return to
}
