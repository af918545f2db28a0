package memory

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Content is what RAM begins as, by offsets that count its bytes, one region after
// the other. Its methods may be called from any goroutine.
type Content interface {
	io.ReaderAt
	// Extent returns how far what is at from goes on, up to limit: nothing but zeroes,
	// or what is to be read. All three are multiples of PageSize.
	Extent(from, limit uint64) (to uint64, zero bool)
}

// FileContent is what a sparse file of a size has. The file stays the caller's, who
// closes it when nobody needs the content any more.
func FileContent(f *os.File, size uint64) Content { return fileContent{f, size} }

type fileContent struct {
	*os.File
	size uint64
}

// Extent implements Content. Where the file system can't tell, all is to be read.
func (c fileContent) Extent(from, limit uint64) (to uint64, zero bool) {
	data, err := c.seek(from, unix.SEEK_DATA)
	switch {
	case err == unix.ENXIO: // none behind, or the file's end
		info, err := c.Stat()
		return limit, err == nil && uint64(info.Size()) >= c.size
	case err != nil:
		return limit, false
	case data >= from+PageSize:
		return min(data&^(PageSize-1), limit), true
	}
	hole, err := c.seek(from, unix.SEEK_HOLE)
	if err != nil {
		return limit, false
	}
	return min((hole+PageSize-1)&^(PageSize-1), limit), false
}

func (c fileContent) seek(from uint64, whence int) (at uint64, err error) {
	conn, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	control := conn.Control(func(fd uintptr) {
		var n int64
		n, err = unix.Seek(int(fd), int64(from), whence)
		at = uint64(n)
	})
	if control != nil {
		return 0, control
	}
	return at, err
}
