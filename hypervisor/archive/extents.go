package archive

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// extent is a range of a file that may have more than zeroes.
type extent struct{ at, size int64 }

const (
	// minGap is the least hole that is worth an entry: smaller ones are data.
	minGap = 64 << 10
	// maxExtents bounds the list. archive/tar reads one of up to 1 MiB, in which an
	// entry takes up to 40 bytes.
	maxExtents = 16 << 10
)

// extents returns where a file of size bytes has data. Where there are too many
// holes, the smaller ones are data.
func extents(f *os.File, size int64) ([]extent, error) {
	var all []extent
	gap := int64(minGap)
	for at := int64(0); at < size; {
		from, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // there is none behind at
		}
		to := size
		if err == nil {
			to, err = unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
		}
		if errors.Is(err, unix.EINVAL) { // of file systems that don't know
			return []extent{{0, size}}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("look for holes in %s: %w", f.Name(), err)
		}
		to = min(to, size)
		all = merge(append(all, extent{from, to - from}), len(all)-1, gap)
		if len(all) > maxExtents {
			gap *= 2
			all = merge(all, 0, gap)
		}
		at = to
	}
	return all, nil
}

// merge joins extents, from the one with the index on, with less than gap between
// them.
func merge(all []extent, first int, gap int64) []extent {
	first = max(first, 0)
	out := all[:first+1]
	for _, e := range all[first+1:] {
		last := &out[len(out)-1]
		if e.at-(last.at+last.size) < gap {
			last.size = e.at + e.size - last.at
			continue
		}
		out = append(out, e)
	}
	return out
}
