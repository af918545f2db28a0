package overlay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// An overlay file is a header, a bitmap with a bit for each cluster of the
// disk, and the clusters, each where it would be on the disk; those whose bit is
// unset belong to the base. The file is sparse, little-endian throughout.
//
//	0           header
//	4096        bitmap, bit i of byte i/8 for cluster i
//	dataOffset  clusters
const (
	// Cluster is the unit that is either in the overlay or in the base: the
	// block of file systems, so that little is ever copied up.
	Cluster = 4096

	headerSize   = 4096
	bitmapOffset = headerSize
	bitmapPage   = 4096 // the unit in which the bitmap is written

	magic   = "BLKHDOVL"
	version = 1

	offVersion = 8
	offCluster = 12
	offSize    = 16
	offCRC     = 24 // of all before it
	usedHeader = 28
)

// layout is where things are for a disk of a given size.
type layout struct {
	size       uint64 // of the disk
	bitmapLen  int64  // whole pages
	dataOffset int64
}

func newLayout(size uint64) layout {
	clusters := (size + Cluster - 1) / Cluster
	bitmap := int64((clusters+8*bitmapPage-1)/(8*bitmapPage)) * bitmapPage
	return layout{size: size, bitmapLen: bitmap, dataOffset: bitmapOffset + bitmap}
}

func (l layout) header() []byte {
	h := make([]byte, headerSize)
	copy(h, magic)
	binary.LittleEndian.PutUint32(h[offVersion:], version)
	binary.LittleEndian.PutUint32(h[offCluster:], Cluster)
	binary.LittleEndian.PutUint64(h[offSize:], l.size)
	binary.LittleEndian.PutUint32(h[offCRC:], crc32.Checksum(h[:offCRC], crc32.MakeTable(crc32.Castagnoli)))
	return h
}

// parseHeader returns the layout of the overlay of a base of the given size.
func parseHeader(h []byte, baseSize uint64) (layout, error) {
	switch le := binary.LittleEndian; {
	case len(h) < usedHeader || string(h[:len(magic)]) != magic:
		return layout{}, errors.New("not an overlay: name a new file, or remove this one")
	case le.Uint32(h[offCRC:]) != crc32.Checksum(h[:offCRC], crc32.MakeTable(crc32.Castagnoli)):
		return layout{}, errors.New("its header is damaged: what it held is lost, remove it")
	case le.Uint32(h[offVersion:]) != version || le.Uint32(h[offCluster:]) != Cluster:
		return layout{}, fmt.Errorf("of version %d with clusters of %d bytes, only %d and %d are known",
			le.Uint32(h[offVersion:]), le.Uint32(h[offCluster:]), version, Cluster)
	case le.Uint64(h[offSize:]) != baseSize:
		return layout{}, fmt.Errorf("made for a base of %d bytes, this one has %d: use it with the image it was made for", le.Uint64(h[offSize:]), baseSize)
	}
	return newLayout(baseSize), nil
}
