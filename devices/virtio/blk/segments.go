package blk

import "encoding/binary"

// A segment of a discard or write-zeroes request; section 5.2.6.
const (
	segmentSize = 16
	flagUnmap   = 1 << 0
)

type segment struct {
	sector  uint64
	sectors uint32
	flags   uint32
}

// segment decodes the i-th of a request's own copy: the guest may have changed
// its list since.
func (r *request) segment(i int) segment {
	raw := r.segments[i*segmentSize:]
	return segment{
		sector:  binary.LittleEndian.Uint64(raw),
		sectors: binary.LittleEndian.Uint32(raw[8:]),
		flags:   binary.LittleEndian.Uint32(raw[12:]),
	}
}

// segments carries out a discard or write-zeroes request, whose data is a list
// of extents. All are checked before the first is touched.
func (d *Device) segments(r *request) byte {
	limit, each := maxDiscardSegments, uint32(maxDiscardSectors)
	if r.kind == typeWriteZeroes {
		limit, each = 1, maxWriteZeroesSectors
	}
	if r.dataLen%segmentSize != 0 || r.dataLen == 0 || r.dataLen > limit*segmentSize {
		return statusIOErr
	}
	var extents [maxDiscardSegments]extent
	var unmap bool
	n := r.dataLen / segmentSize
	for i := range n {
		g := r.segment(i)
		// Section 5.2.6.2: unknown flags, and unmap for a discard.
		if g.flags&^flagUnmap != 0 || r.kind == typeDiscard && g.flags != 0 {
			return statusUnsupported
		}
		e, ok := d.extentOf(g.sector, uint64(g.sectors))
		if !ok || g.sectors > each {
			return statusIOErr
		}
		extents[i], unmap = e, g.flags&flagUnmap != 0
	}
	for _, e := range extents[:n] {
		err := error(nil)
		if r.kind == typeDiscard {
			err = d.discard(e)
		} else {
			err = d.backend.WriteZeroes(e.off, e.n, unmap)
		}
		if err != nil {
			return statusIOErr
		}
	}
	return statusOK
}

// discard gives back the whole blocks of an extent. What they read as is
// undefined, so that the rest may stay as it is; a host would have to read and
// write for it.
func (d *Device) discard(e extent) error {
	block := int64(max(physicalBlock, d.backend.BlockSize()))
	first := (e.off + block - 1) / block * block
	if n := (e.off+e.n)/block*block - first; n > 0 {
		return d.backend.Discard(first, n)
	}
	return nil
}
