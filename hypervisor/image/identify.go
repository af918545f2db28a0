package image

import (
	"bytes"
	"io"
)

// format is what a file holds; for file systems, the kernel's name.
type format string

const (
	formatUnknown  format = ""
	formatTar      format = "tar"
	formatGzip     format = "gzip"
	formatExt4     format = "ext4"
	formatErofs    format = "erofs"
	formatSquashfs format = "squashfs"
	formatDisk     format = "disk" // with a partition table
)

// magic is a mark by which a format is known.
type magic struct {
	format format
	offset int
	bytes  string
}

// magics returns the marks, the surest first: a file system may be in a disk
// image whose first sector looks like a boot sector.
func magics() []magic {
	return []magic{
		{formatGzip, 0, "\x1f\x8b"},
		{formatSquashfs, 0, "hsqs"},
		{formatTar, 257, "ustar"},
		{formatErofs, 1024, "\xe2\xe1\xf5\xe0"},
		{formatExt4, 1024 + 56, "\x53\xef"},
		{formatDisk, 510, "\x55\xaa"},
	}
}

// identify looks at the head of f.
func identify(f io.ReaderAt) (format, error) {
	head := make([]byte, 2048)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return formatUnknown, err
	}
	for _, m := range magics() {
		if n >= m.offset+len(m.bytes) && bytes.HasPrefix(head[m.offset:], []byte(m.bytes)) {
			return m.format, nil
		}
	}
	return formatUnknown, nil
}
