package mounts

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

// found is what is on a block device: a file system, partitions or neither.
type found struct {
	fsType     string
	partitions []partition // of the table; nil if there is none
}

// probe looks at the block device at path.
func probe(path string) (found, error) {
	f, err := openDevice(path)
	if err != nil {
		return found{}, err
	}
	defer f.Close()
	head := make([]byte, 2048)
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return found{}, fmt.Errorf("read %s: %w", path, err)
	}
	if t := fileSystem(head); t != "" {
		return found{fsType: t}, nil
	}
	sector, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET)
	if err != nil {
		return found{}, fmt.Errorf("sector size of %s: %w", path, err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return found{}, fmt.Errorf("size of %s: %w", path, err)
	}
	table, err := readTable(f, int64(sector), size)
	if err != nil {
		return found{}, fmt.Errorf("partition table of %s: %w", path, err)
	}
	return found{partitions: table}, nil
}

func openDevice(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fail.Errorf(fail.NotFound, "no disk %s in the guest: %w", path, err)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Mode()&(os.ModeDevice|os.ModeCharDevice) != os.ModeDevice {
		err = fail.Errorf(fail.Invalid, "%s is not a block device", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// fileSystem tells a file system by the first 2 KiB.
func fileSystem(head []byte) string {
	switch {
	case len(head) < 2048:
		return ""
	case binary.LittleEndian.Uint16(head[1024+56:]) == 0xef53: // s_magic
		return "ext4"
	case binary.LittleEndian.Uint32(head[1024:]) == 0xe0f5e1e2:
		return "erofs"
	case string(head[:4]) == "hsqs":
		return "squashfs"
	}
	return ""
}
