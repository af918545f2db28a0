package emulate

import "unsafe"

// cas128 is LOCK CMPXCHG16B: it compares the 16 bytes at p, which must be
// aligned, with old and, if equal, replaces them with new. It returns what was
// there.
//
//go:noescape
func cas128(p *[16]byte, oldLo, oldHi, newLo, newHi uint64) (lo, hi uint64, swapped bool)

func cmpxchg16b(c *Completer) (outcome, error) {
	const size = 16
	if c.address()%size != 0 {
		return raise(vectorGP), nil
	}
	s, out, stop := c.operandSpan(size, true)
	if stop {
		return out, nil
	}
	r := &c.regs
	p := (*[size]byte)(s.pages[0]) // aligned: it can't cross a page
	if uintptr(unsafe.Pointer(p))%size != 0 {
		return outcome{kind: unknown}, nil // only memory off the page grid, as in tests
	}
	lo, hi, swapped := cas128(p, r.RAX, r.RDX, r.RBX, r.RCX)
	r.RFLAGS |= flagZF
	if !swapped {
		r.RFLAGS &^= flagZF
		r.RAX, r.RDX = lo, hi
	}
	return completed(), nil
}
