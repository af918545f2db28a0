package blk

import (
	"encoding/binary"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// Request types and status; section 5.2.6.
const (
	typeIn    = 0
	typeOut   = 1
	typeFlush = 4
	typeGetID = 8

	statusOK          = 0
	statusIOErr       = 1
	statusUnsupported = 2

	headerSize = 16
	idSize     = 20
	sectorSize = 512
)

// request is the host's own copy of a request's header, with what lies around
// the data.
type request struct {
	kind   uint32
	sector uint64
	// data are the buffers between header and status: to write to the disk
	// for typeOut, to fill from it otherwise.
	data    [][]byte
	dataLen int
}

// parse checks the shape of a request: 16 bytes of header to read, one byte of
// status at the end of what is to be written. The driver may cut it into
// buffers as it likes; section 2.7.4.
func (w *worker) parse(c *virtqueue.Chain) (request, error) {
	var header [headerSize]byte
	if c.Read(header[:]) < headerSize {
		return request{}, &virtqueue.ProtocolError{Section: "5.2.6", What: "request with less than a header to read"}
	}
	if c.WriteLen() < 1 {
		return request{}, &virtqueue.ProtocolError{Section: "5.2.6", What: "request without room for its status"}
	}
	r := request{
		kind:   binary.LittleEndian.Uint32(header[0:]),
		sector: binary.LittleEndian.Uint64(header[8:]),
	}
	if r.kind == typeOut {
		r.dataLen = c.ReadLen() - headerSize
		w.view = virtqueue.Skip(w.view[:0], c.Readable, headerSize, r.dataLen)
	} else {
		r.dataLen = c.WriteLen() - 1
		w.view = virtqueue.Skip(w.view[:0], c.Writable, 0, r.dataLen)
	}
	r.data = w.view
	return r, nil
}

// offset returns where on the disk the request's data goes. It reports false
// if that isn't whole sectors of the disk; section 5.2.6.1.
func (r *request) offset(capacity uint64) (int64, bool) {
	sectors := uint64(r.dataLen) / sectorSize
	if r.dataLen%sectorSize != 0 || r.sector > capacity || sectors > capacity-r.sector {
		return 0, false
	}
	return int64(r.sector * sectorSize), true
}
