package blk

import "encoding/binary"

// A segment of a discard or write-zeroes request; section 5.2.6.
const (
	segmentSize = 16
	flagUnmap   = 1 << 0
)

// segments carries out a discard or write-zeroes request, whose data is a list
// of extents. All are checked before the first is touched.
func (d *Device) segments(r *request) byte {
	var list [maxDiscardSegments * segmentSize]byte
	limit, each := maxDiscardSegments, uint32(maxDiscardSectors)
	if r.kind == typeWriteZeroes {
		limit, each = 1, maxWriteZeroesSectors
	}
	if r.dataLen%segmentSize != 0 || r.dataLen == 0 || r.dataLen > limit*segmentSize {
		return statusIOErr
	}
	// Copied out first: the guest may change it meanwhile.
	rest := list[:r.chain.ReadAt(list[:], headerSize)]
	var extents [maxDiscardSegments]extent
	var unmap bool
	n := 0
	for ; len(rest) > 0; rest = rest[segmentSize:] {
		sectors, flags := binary.LittleEndian.Uint32(rest[8:]), binary.LittleEndian.Uint32(rest[12:])
		// Section 5.2.6.2: unknown flags, and unmap for a discard.
		if flags&^flagUnmap != 0 || r.kind == typeDiscard && flags != 0 {
			return statusUnsupported
		}
		e, ok := d.extentOf(binary.LittleEndian.Uint64(rest), uint64(sectors))
		if !ok || sectors > each {
			return statusIOErr
		}
		extents[n], unmap = e, flags&flagUnmap != 0
		n++
	}
	for _, e := range extents[:n] {
		err := error(nil)
		if r.kind == typeDiscard {
			err = d.backend.Discard(e.off, e.n)
		} else {
			err = d.backend.WriteZeroes(e.off, e.n, unmap)
		}
		if err != nil {
			return statusIOErr
		}
	}
	return statusOK
}
