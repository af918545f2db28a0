package net

import (
	"encoding/binary"
	"fmt"

	"github.com/bulkhead-vm/bulkhead/devices/virtio/virtqueue"
)

// virtio_net_hdr_v1 in front of every frame; section 5.1.6.
const (
	headerSize = 12

	offFlags      = 0
	offGSOType    = 1
	offHeaderLen  = 2
	offGSOSize    = 4
	offCsumStart  = 6
	offCsumOffset = 8
	offNumBuffers = 10

	flagNeedsCsum = 1

	gsoNone  = 0
	gsoTCPv4 = 1
	gsoTCPv6 = 4
	gsoECN   = 0x80
)

const (
	ethernetHeader = 14
	// maxFrame is what a header, an Ethernet header with a VLAN tag and the
	// largest IP packet take; section 5.1.6.3.1.
	maxFrame = headerSize + ethernetHeader + 4 + 65535 + 1
	// tcpHeaders is the least that each segment of a frame begins with: Ethernet,
	// IPv4 and TCP without options.
	tcpHeaders = ethernetHeader + 20 + 20
	// minSegment is the least that TCP puts into a segment on any path; Linux's
	// default of net.ipv4.tcp_min_snd_mss. A frame cut smaller is only meant to
	// have the host make many of it.
	minSegment = 48
	// minBuffer is the smallest receive buffer without large receive
	// offloads; section 5.1.6.3.1.
	minBuffer = headerSize + ethernetHeader + 1500
)

// header is the host's own copy of a frame's header.
type header [headerSize]byte

func (h *header) u16(off int) int { return int(binary.LittleEndian.Uint16(h[off:])) }

// check says what is wrong with the header of a frame from the guest that has
// n bytes without it: the host's kernel acts on what passes here. Section
// 5.1.6.2.
func (h *header) check(n int, features uint64) error {
	wrong := func(format string, args ...any) error {
		return &virtqueue.ProtocolError{Section: "5.1.6.2", What: fmt.Sprintf(format, args...)}
	}
	flags, gso := h[offFlags], h[offGSOType]
	switch {
	case flags&^flagNeedsCsum != 0:
		return wrong("flags %#x on a frame", flags)
	case flags != 0 && features&featureCsum == 0:
		return wrong("checksum left to the device, which was not negotiated")
	case flags != 0 && h.u16(offCsumStart)+h.u16(offCsumOffset)+2 > n:
		return wrong("checksum at %d+%d of a frame of %d bytes", h.u16(offCsumStart), h.u16(offCsumOffset), n)
	case gso == gsoNone:
		return nil
	case gso&gsoECN != 0 && features&featureHostECN == 0:
		return wrong("ECN left to the device, which was not negotiated")
	}
	var need uint64
	switch gso &^ gsoECN {
	case gsoTCPv4:
		need = featureHostTSO4
	case gsoTCPv6:
		need = featureHostTSO6
	}
	switch {
	case need == 0 || features&need == 0:
		return wrong("segmentation of type %#x, which was not negotiated", gso)
	case flags == 0:
		return wrong("segmentation without a checksum")
	case h.u16(offGSOSize) == 0:
		return wrong("segments of 0 bytes")
	case h.u16(offHeaderLen) > n:
		return wrong("headers of %d bytes in a frame of %d", h.u16(offHeaderLen), n)
	}
	return nil
}

// segmentsFit reports whether the frame, if the host is to cut it, comes in
// segments that somebody may want.
func (h *header) segmentsFit() bool {
	return h[offGSOType] == gsoNone || h.u16(offGSOSize) >= minSegment
}

// frames returns how many the host makes of one with n bytes.
func (h *header) frames(n int) int {
	if h[offGSOType] == gsoNone {
		return 1
	}
	size := h.u16(offGSOSize)
	return max((n-tcpHeaders+size-1)/size, 1)
}

// wire returns how many bytes these have, each with headers of its own.
func (h *header) wire(n int) int { return n + (h.frames(n)-1)*tcpHeaders }
