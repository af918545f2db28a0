package memory

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapFixed maps a file privately in b's place, which are whole pages of a mapping.
func mapFixed(f *os.File, b []byte, offset uint64) error {
	_, err := unix.MmapPtr(int(f.Fd()), int64(offset), unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_NORESERVE|unix.MAP_FIXED)
	if err != nil {
		return fmt.Errorf("map %d bytes of guest RAM from %s: %w", len(b), f.Name(), err)
	}
	return nil
}

// mapAnonymous maps zeroes there.
func mapAnonymous(b []byte) error {
	_, err := unix.MmapPtr(-1, 0, unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE|unix.MAP_FIXED)
	return err
}

// isMapped reports whether all of b is.
func isMapped(b []byte) bool { return unix.Msync(b, unix.MS_ASYNC) == nil }
