package memory

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// FromFile returns size bytes of RAM in the x86 layout whose content is a file's,
// one region after the other. A page is read from the file when it is first
// touched and copied when it is first written to, so that it costs nothing to
// make, the file stays as it is, and all that map it share what they don't
// write. The caller may close f; nobody may truncate the file.
func FromFile(f *os.File, size uint64) (*Memory, error) {
	ranges, err := Layout(size)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("guest RAM from a file: %w", err)
	}
	if info.Size() != int64(size) {
		return nil, fmt.Errorf("guest RAM from %s: the file has %d bytes, not %d", f.Name(), info.Size(), size)
	}
	m := &Memory{backed: true}
	var offset int64
	for _, r := range ranges {
		b, err := unix.Mmap(int(f.Fd()), offset, int(r.Size), unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_NORESERVE)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("map %d MiB of guest RAM from %s: %w", r.Size>>20, f.Name(), err), m.Close())
		}
		m.mappings = append(m.mappings, b)
		m.regions = append(m.regions, Region{r, b})
		offset += int64(r.Size)
	}
	return m, nil
}
