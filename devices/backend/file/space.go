package file

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Discard gives the room of n bytes from off on back to the host; they read as
// zeroes afterwards, or as before where the host can't.
func (d *File) Discard(off, n int64) error {
	err := d.fallocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil // a hint, after all
	}
	return err
}

// WriteZeroes makes n bytes from off on read as zeroes, and gives their room
// back if unmap is set.
func (d *File) WriteZeroes(off, n int64, unmap bool) error {
	mode := uint32(unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE)
	if unmap {
		mode = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	}
	err := d.fallocate(mode, off, n)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return d.writeZeroes(off, n)
	}
	return err
}

func (d *File) fallocate(mode uint32, off, n int64) error {
	for n > 0 {
		if err := unix.Fallocate(d.fd(), mode, off, n); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return nil
}

// writeZeroes is for hosts that can't do it by themselves.
func (d *File) writeZeroes(off, n int64) error {
	// A mapping, because direct I/O wants memory aligned.
	zeroes, err := unix.Mmap(-1, 0, int(min(n, 1<<20)), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("write zeroes: %w", err)
	}
	defer unix.Munmap(zeroes)
	for n > 0 {
		piece := zeroes[:min(n, int64(len(zeroes)))]
		if err := d.WriteAt([][]byte{piece}, off); err != nil {
			return err
		}
		off += int64(len(piece))
		n -= int64(len(piece))
	}
	return nil
}

// sectorSize is the unit of disks without a word to the contrary.
const sectorSize = 512

// directBlockSize returns the unit that direct I/O on f takes.
func directBlockSize(f *os.File, mode os.FileMode) (uint32, error) {
	if mode.IsRegular() {
		var st unix.Statx_t
		if err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st); err == nil && st.Mask&unix.STATX_DIOALIGN != 0 {
			if st.Dio_offset_align == 0 {
				return 0, errors.New("its file system has no direct I/O: leave it out")
			}
			return max(st.Dio_offset_align, st.Dio_mem_align, sectorSize), nil
		}
		return 4096, nil // an older kernel: what all disks take
	}
	n, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET)
	if err != nil {
		return 0, fmt.Errorf("block size: %w", err)
	}
	return uint32(n), nil
}
