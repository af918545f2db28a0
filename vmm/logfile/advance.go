package logfile

// begin opens the log where the first record to return is.
func (r *Reader) begin() error {
	p, err := openParts(r.path)
	if err != nil {
		return err
	}
	if r.o.Tail == 0 {
		first, _ := p.after(nil)
		r.use(first)
		return nil
	}
	t := tail{want: max(0, r.o.Tail)}
	for _, part := range []*part{p.newest, p.older} {
		if part == nil || t.found {
			part.close()
			continue
		}
		r.part.close() // it has too few
		r.use(part)
		if err := t.seek(part); err != nil {
			if part == p.newest {
				p.older.close()
			}
			return err
		}
	}
	return nil
}

// use has the reader go on with p, which may be nil, in place of the part that it
// had, which the caller closes.
func (r *Reader) use(p *part) {
	r.part, r.rotated = p, false
	if p != nil {
		p.buf = r.buf
		r.watch.watch(p.f)
	}
}

// advance is called at the end of a part. It reports whether there is more to read
// at once.
func (r *Reader) advance() (bool, error) {
	if r.part != nil && !r.rotated {
		newest, err := r.part.at(r.path)
		if err != nil {
			return false, err
		}
		if newest {
			return r.restart()
		}
		// Whatever was written to it was before it was renamed, but perhaps
		// since it was read.
		r.rotated = true
		return true, nil
	}
	p, err := openParts(r.path)
	if err != nil {
		return false, err
	}
	if r.part.is(p.newest) { // it was put back
		p.close()
		r.rotated = false
		return false, nil
	}
	next, gap := p.after(r.part)
	if next == nil {
		return false, nil
	}
	r.part.close()
	r.use(next)
	r.gap = r.gap || gap
	return true, nil
}

// restart goes back to the start of a part that somebody cut to less than what was
// read of it.
func (r *Reader) restart() (bool, error) {
	size, err := r.part.size()
	if err != nil || size >= r.part.off {
		return false, err
	}
	r.part.seek(0)
	r.gap = true
	return true, nil
}
