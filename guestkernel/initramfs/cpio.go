package initramfs

import (
	"fmt"
	"io"
)

// Modes of entries; <linux/stat.h>.
const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeChar = 0o020000
)

const (
	headerSize = 110
	trailer    = "TRAILER!!!"
	filler     = "filler"
	// Alignment is where the data of an aligned entry begins. The kernel maps
	// up to so much at one page fault, if the pages lie together.
	Alignment = 64 << 10
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
	aligned      bool // the data begins at a multiple of Alignment
}

// add appends e. The first error stays in a.err.
func (a *archive) add(e entry) {
	if e.aligned {
		a.fill(headerLength(e.name))
	}
	a.inode++
	name := e.name + "\x00"
	a.write([]byte(fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.inode, e.mode, 0, 0, 1, 0, len(e.data), 0, 0, e.major, e.minor, len(name), 0)))
	a.write([]byte(name))
	a.pad()
	a.write(e.data)
	a.pad()
}

// fill makes what comes after next bytes begin at a multiple of Alignment. The
// kernel passes over entries that have data and no type.
func (a *archive) fill(next int64) {
	n := -(a.size + headerLength(filler) + next) & (Alignment - 1)
	if n != 0 {
		a.add(entry{name: filler, data: make([]byte, n)})
	}
}

// headerLength is what an entry has before its data.
func headerLength(name string) int64 { return (headerSize + int64(len(name)) + 1 + 3) &^ 3 }

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
