package blk

import (
	"encoding/binary"
	"fmt"

	"github.com/bulkhead-vm/bulkhead/devices/iovec"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// Request types and status; section 5.2.6.
const (
	typeIn          = 0
	typeOut         = 1
	typeFlush       = 4
	typeGetID       = 8
	typeDiscard     = 11
	typeWriteZeroes = 13

	statusOK          = 0
	statusIOErr       = 1
	statusUnsupported = 2

	headerSize = 16
	idSize     = 20
	sectorSize = 512
)

// maxData is what one request may move: all that sizeMax and segMax allow. Who
// asks for more gets an error, or a device could not be reset for as long as a
// disk takes for 4 GiB.
const maxData = sizeMax * segMax

// request is one chain, with the host's own copy of its header. It is reused.
type request struct {
	chain  virtqueue.Chain
	kind   uint32
	sector uint64
	// data are the buffers between header and status: for the disk to take
	// unless incoming.
	data     [][]byte
	dataLen  int
	incoming bool
	segments [maxDiscardSegments * segmentSize]byte // of typeDiscard and typeWriteZeroes
}

// parse checks the shape of a request: 16 bytes of header to read, one byte of
// status at the end of what is to be written. The driver may cut it into
// buffers as it likes; section 2.7.4.
func (r *request) parse() error {
	var header [headerSize]byte
	if n := r.chain.Read(header[:]); n < headerSize {
		return &virtqueue.ProtocolError{Section: "5.2.6", What: fmt.Sprintf("request with %d bytes to read, less than a header", n)}
	}
	if r.chain.WriteLen() < 1 {
		return &virtqueue.ProtocolError{Section: "5.2.6", What: "request without room for its status"}
	}
	r.kind = binary.LittleEndian.Uint32(header[0:])
	r.sector = binary.LittleEndian.Uint64(header[8:])
	switch r.kind {
	case typeOut:
		r.incoming = false
		r.dataLen = r.chain.ReadLen() - headerSize
		r.data = iovec.Cut(r.data[:0], r.chain.Readable, headerSize, r.dataLen)
	case typeDiscard, typeWriteZeroes:
		r.incoming = false
		r.dataLen = r.chain.ReadLen() - headerSize
		r.chain.ReadAt(r.segments[:], headerSize)
	default:
		r.incoming = true
		r.dataLen = r.chain.WriteLen() - 1
		r.data = iovec.Cut(r.data[:0], r.chain.Writable, 0, r.dataLen)
	}
	return nil
}

// operations returns how many the request counts as for a rate limiter: one for
// each part of the disk that it touches.
func (r *request) operations() int {
	if r.kind == typeDiscard {
		return max(min(r.dataLen/segmentSize, maxDiscardSegments), 1)
	}
	return 1
}

// bytes returns what the request counts for a rate limiter: what is moved, and
// zeroes too, which the host may have to write one by one.
func (r *request) bytes() int {
	if r.kind == typeWriteZeroes && r.dataLen >= segmentSize {
		return int(min(r.segment(0).sectors, maxWriteZeroesSectors)) * sectorSize
	}
	return r.dataLen
}

// finish writes the status and returns how many bytes were written from the
// first on; section 2.7.8.2.
func (r *request) finish(status byte) uint32 {
	n := r.chain.WriteLen()
	r.chain.WriteAt([]byte{status}, n-1)
	if n > 1 && (status != statusOK || !r.incoming) {
		return 0 // nothing before the status
	}
	return uint32(n)
}

// extent is a part of the disk in bytes.
type extent struct{ off, n int64 }

// extentOf checks that sectors lie within the disk and are whole blocks;
// section 5.2.6.1.
func (d *Device) extentOf(sector, sectors uint64) (extent, bool) {
	capacity := d.capacity.Load()
	perBlock := uint64(d.backend.BlockSize() / sectorSize)
	if sector > capacity || sectors > capacity-sector || sector%perBlock != 0 || sectors%perBlock != 0 {
		return extent{}, false
	}
	return extent{int64(sector * sectorSize), int64(sectors * sectorSize)}, true
}

// extent returns where on the disk the request's data belongs.
func (d *Device) extent(r *request) (extent, bool) {
	if r.dataLen%sectorSize != 0 || r.dataLen > maxData {
		return extent{}, false
	}
	return d.extentOf(r.sector, uint64(r.dataLen)/sectorSize)
}
