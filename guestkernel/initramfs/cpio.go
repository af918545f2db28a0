package initramfs

import (
	"fmt"
	"io"
	"strings"
)

// Modes of entries; <linux/stat.h>.
const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeChar = 0o020000
)

const (
	headerSize = 110
	// maxName is how long the kernel lets a name be, its NULs included.
	maxName  = 4096
	trailer  = "TRAILER!!!"
	pageSize = 4096
)

// archive writes a "newc" cpio archive, the kernel's own format of an
// initramfs (Documentation/driver-api/early-userspace/buffer-format.rst). The
// same calls write the same bytes: entries have no times, no owners but root,
// and inode numbers in their order.
type archive struct {
	w     io.Writer
	size  int64
	inode uint32
	err   error
}

// entry is a file of an archive.
type entry struct {
	name         string // without a leading slash
	mode         uint32
	major, minor uint32 // of a device
	data         []byte
	aligned      bool // the data begins at a multiple of the page size
}

// add appends e. The first error stays in a.err.
func (a *archive) add(e entry) {
	a.inode++
	name := e.name + "\x00"
	if e.aligned {
		// The kernel takes a name to end at its first NUL.
		name += strings.Repeat("\x00", int(-(a.size+headerSize+int64(len(name)))&(pageSize-1)))
		if len(name) > maxName && a.err == nil {
			a.err = fmt.Errorf("%s can't be aligned: put it elsewhere in the archive", e.name)
		}
	}
	a.write([]byte(fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.inode, e.mode, 0, 0, 1, 0, len(e.data), 0, 0, e.major, e.minor, len(name), 0)))
	a.write([]byte(name))
	a.pad()
	a.write(e.data)
	a.pad()
}

// close ends the archive.
func (a *archive) close() error {
	a.inode = ^uint32(0) // 0, as everybody has it
	a.add(entry{name: trailer})
	return a.err
}

// pad fills up to a multiple of four bytes.
func (a *archive) pad() { a.write(make([]byte, -a.size&3)) }

func (a *archive) write(b []byte) {
	if a.err != nil {
		return
	}
	n, err := a.w.Write(b)
	a.size += int64(n)
	a.err = err
}
