package filesystem

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/plainfile"
)

// Open opens the regular file p to be read from offset on. Anything else is
// Untimely, and isn't waited for. The caller closes the file.
func Open(p string, offset uint64) (*os.File, error) {
	if err := checkPath(p); err != nil {
		return nil, err
	}
	if offset > math.MaxInt64 {
		return nil, fail.Errorf(fail.Invalid, "no file is so long that it has a byte %d", offset)
	}
	f, err := plainfile.Open(p)
	if errors.Is(err, plainfile.ErrNotRegular) {
		return nil, fail.Errorf(fail.Untimely, "%w", err)
	}
	if err != nil {
		return nil, fail.Files(err)
	}
	if offset > 0 { // not all of /proc can be positioned
		if _, err := f.Seek(int64(offset), io.SeekStart); err != nil {
			f.Close()
			return nil, fail.Files(fmt.Errorf("read from byte %d on: %w", offset, err))
		}
	}
	return f, nil
}
