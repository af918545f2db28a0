package vsock

import "encoding/binary"

// headerSize is the size of virtio_vsock_hdr; section 5.10.6.
const headerSize = 44

// HostCID is the host's address; section 5.10.4.
const HostCID = 2

// op is what a packet does; section 5.10.6.
type op uint16

const (
	opRequest       op = 1
	opResponse      op = 2
	opReset         op = 3
	opShutdown      op = 4
	opData          op = 5 // VIRTIO_VSOCK_OP_RW
	opCreditUpdate  op = 6
	opCreditRequest op = 7
)

const (
	typeStream = 1

	// Flags of a shutdown packet: what its sender won't do any more.
	shutdownReceive = 1 << 0
	shutdownSend    = 1 << 1
	shutdownBoth    = shutdownReceive | shutdownSend
)

// header is virtio_vsock_hdr.
type header struct {
	srcCID, dstCID   uint64
	srcPort, dstPort uint32
	len              uint32
	kind             uint16
	op               op
	flags            uint32
	bufAlloc         uint32
	fwdCount         uint32
}

func (h *header) decode(b *[headerSize]byte) {
	le := binary.LittleEndian
	*h = header{
		srcCID:   le.Uint64(b[0:]),
		dstCID:   le.Uint64(b[8:]),
		srcPort:  le.Uint32(b[16:]),
		dstPort:  le.Uint32(b[20:]),
		len:      le.Uint32(b[24:]),
		kind:     le.Uint16(b[28:]),
		op:       op(le.Uint16(b[30:])),
		flags:    le.Uint32(b[32:]),
		bufAlloc: le.Uint32(b[36:]),
		fwdCount: le.Uint32(b[40:]),
	}
}

func (h *header) encode(b *[headerSize]byte) {
	le := binary.LittleEndian
	le.PutUint64(b[0:], h.srcCID)
	le.PutUint64(b[8:], h.dstCID)
	le.PutUint32(b[16:], h.srcPort)
	le.PutUint32(b[20:], h.dstPort)
	le.PutUint32(b[24:], h.len)
	le.PutUint16(b[28:], h.kind)
	le.PutUint16(b[30:], uint16(h.op))
	le.PutUint32(b[32:], h.flags)
	le.PutUint32(b[36:], h.bufAlloc)
	le.PutUint32(b[40:], h.fwdCount)
}
