package emulate

import "github.com/bulkhead-vm/bulkhead/vmm/memory"

// maxPages is how many pages one operand may touch: an XSAVE area with AMX
// state takes 11 KiB.
const maxPages = 4

// span is a linear range of guest memory, translated.
type span struct {
	pages [maxPages][]byte
	n     int
}

// span translates n bytes at linear. Nothing was accessed yet if it reports a
// fault. ok is false if the range isn't RAM or is too long.
func (w *walker) span(linear uint64, n int, write bool) (s span, fault *pageFault, ok bool) {
	for n > 0 {
		if s.n == maxPages {
			return s, nil, false
		}
		chunk := min(n, int(memory.PageSize-linear%memory.PageSize))
		gpa, fault, ok := w.translate(linear, write)
		if fault != nil || !ok {
			return s, fault, ok
		}
		b, err := w.mem.Slice(gpa, uint64(chunk))
		if err != nil {
			return s, nil, false
		}
		s.pages[s.n] = b
		s.n++
		linear += uint64(chunk)
		n -= chunk
	}
	return s, nil, true
}

// read copies bytes at offset off of the span into p.
func (s *span) read(p []byte, off int) {
	s.each(len(p), off, func(page []byte, done int) { copy(p[done:], page) })
}

// write copies p to offset off of the span.
func (s *span) write(p []byte, off int) {
	s.each(len(p), off, func(page []byte, done int) { copy(page, p[done:]) })
}

// each calls do with the piece of every page that lies within n bytes from off.
func (s *span) each(n, off int, do func(page []byte, done int)) {
	done := 0
	for _, page := range s.pages[:s.n] {
		if off >= len(page) {
			off -= len(page)
			continue
		}
		piece := page[off:]
		off = 0
		if len(piece) > n-done {
			piece = piece[:n-done]
		}
		do(piece, done)
		done += len(piece)
	}
}
