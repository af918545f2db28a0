package logfile

import "bytes"

// tail looks for the beginning of the last lines of a log, from its end.
type tail struct {
	want  int
	lines int  // that end after where it is
	any   bool // there were records
	found bool
}

// seek has p begin where the last lines that are wanted begin, or at its start if
// it has too few.
func (t *tail) seek(p *part) error {
	end, err := p.size()
	if err != nil {
		return err
	}
	for {
		start := max(0, end-int64(len(p.buf)))
		n, err := p.read(p.buf[:end-start], start)
		if err != nil {
			return err
		}
		left := t.back(p.buf[:n], start == 0)
		if t.found || start == 0 {
			p.seek(start + int64(left))
			return nil
		}
		if left == n { // no line of ours is so long
			t.found = true
			p.seek(end)
			return nil
		}
		end = start + int64(left)
	}
}

// back goes through the lines in b from the last on. It returns where it stopped:
// at the beginning that it looks for, or where a line begins outside of b.
func (t *tail) back(b []byte, whole bool) int {
	end := bytes.LastIndexByte(b, '\n') + 1
	for end > 0 {
		start := bytes.LastIndexByte(b[:end-1], '\n') + 1
		if start == 0 && !whole {
			return end
		}
		if t.enough(b[start:end]) {
			t.found = true
			return end
		}
		end = start
	}
	return 0
}

// enough reports whether what comes after line is all that is wanted.
func (t *tail) enough(line []byte) bool {
	r, ok := parse(line, "")
	if !ok || r.Label == Own {
		return false
	}
	if r.whole() || !t.any { // a last line that isn't finished is one, too
		t.lines++
	}
	t.any = true
	return t.lines > t.want
}
