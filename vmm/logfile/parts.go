package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// maxTries is how often the parts of a log are looked at that is rotated at the
// same time.
const maxTries = 100

// parts are those of a log: the newest, and the one before it. Either may be nil.
type parts struct{ older, newest *part }

// openParts opens what there is at one moment. The caller closes both.
func openParts(path string) (p parts, err error) {
	for range maxTries {
		if p.newest, err = openPart(path); err != nil {
			return parts{}, err
		}
		if p.older, err = openPart(older(path)); err != nil {
			p.newest.close()
			return parts{}, err
		}
		// While the newest is open, no other file is the same as it.
		still, err := p.newest.at(path)
		if err == nil && still {
			return p, nil
		}
		p.close()
		if err != nil {
			return parts{}, err
		}
	}
	return parts{}, fmt.Errorf("read log %s: it is rotated faster than it can be opened", path)
}

func (p parts) close() {
	p.older.close()
	p.newest.close()
}

// at reports whether p is at path now, where nil stands for nothing.
func (p *part) at(path string) (bool, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p == nil, nil
	}
	if err != nil {
		return false, fmt.Errorf("read log: %w", err)
	}
	return p != nil && os.SameFile(p.info, info), nil
}

// after returns the part that comes after one that was rotated away, or the first
// if there was none: nil if it isn't there yet. It says whether any between them
// are gone. The part that it doesn't return it closes.
func (p parts) after(last *part) (next *part, gap bool) {
	switch {
	case last == nil && p.older == nil:
		return p.newest, p.newest != nil && p.newest.number() > 1
	case last == nil:
		p.newest.close()
		return p.older, p.older.number() > 1
	case last.is(p.older):
		p.older.close()
		return p.newest, false
	case p.older == nil, p.older.number() != 0 && p.older.number() <= last.number():
		p.older.close() // it was read, too
		return p.newest, p.newest != nil && !p.newest.follows(last)
	}
	p.newest.close()
	return p.older, !p.older.follows(last)
}

// follows reports whether p is known to be the next part after last.
func (p *part) follows(last *part) bool {
	n := last.number()
	return n != 0 && p.number() == n+1
}

// number returns the part's, 0 if it has none.
func (p *part) number() uint64 { return partNumber(p.f) }
