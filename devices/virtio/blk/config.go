package blk

import (
	"encoding/binary"
	"math/bits"
	"sync"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
)

// Feature bits; section 5.2.3.
const (
	featureSizeMax     = 1 << 1
	featureSegMax      = 1 << 2
	featureReadOnly    = 1 << 5
	featureBlockSize   = 1 << 6
	featureFlush       = 1 << 9
	featureTopology    = 1 << 10
	featureMultiQueue  = 1 << 12
	featureDiscard     = 1 << 13
	featureWriteZeroes = 1 << 14
)

// Configuration space; section 5.2.4.
const (
	configSize            = 60
	offCapacity           = 0
	offSizeMax            = 8
	offSegMax             = 12
	offBlockSize          = 20
	offPhysicalBlockExp   = 24
	offMinIOSize          = 26
	offNumQueues          = 34
	offMaxDiscard         = 36
	offMaxDiscardSeg      = 40
	offDiscardAlignment   = 44
	offMaxWriteZeroes     = 48
	offMaxWriteZeroesSeg  = 52
	offWriteZeroesMayFree = 56
)

// What a driver is asked to keep to.
const (
	sizeMax = 256 << 10     // bytes in one buffer
	segMax  = queueSize - 2 // buffers in one request, beside header and status

	maxDiscardSectors     = 1 << 22 // 2 GiB
	maxDiscardSegments    = 32
	maxWriteZeroesSectors = 1 << 18 // 128 MiB: where nothing but writing helps, it takes a moment
)

// physicalBlock is the unit below which a write costs a read: that of file
// systems and disks.
const physicalBlock = 4096

// config is the device's configuration space. Only the capacity changes.
type config struct {
	mu    sync.Mutex
	space [configSize]byte
}

func newConfig(b Backend, queues int) *config {
	c := &config{}
	le := binary.LittleEndian
	s := c.space[:]
	le.PutUint64(s[offCapacity:], b.Size()/sectorSize)
	le.PutUint32(s[offSizeMax:], sizeMax)
	le.PutUint32(s[offSegMax:], segMax)
	le.PutUint32(s[offBlockSize:], b.BlockSize())
	perPhysical := max(physicalBlock/b.BlockSize(), 1)
	s[offPhysicalBlockExp] = byte(bits.TrailingZeros32(perPhysical))
	le.PutUint16(s[offMinIOSize:], uint16(perPhysical))
	le.PutUint16(s[offNumQueues:], uint16(queues))
	if b.ReadOnly() {
		return c
	}
	le.PutUint32(s[offMaxDiscard:], maxDiscardSectors)
	le.PutUint32(s[offMaxDiscardSeg:], maxDiscardSegments)
	le.PutUint32(s[offDiscardAlignment:], physicalBlock/sectorSize)
	le.PutUint32(s[offMaxWriteZeroes:], maxWriteZeroesSectors)
	le.PutUint32(s[offMaxWriteZeroesSeg:], 1)
	s[offWriteZeroesMayFree] = 1
	return c
}

func (c *config) read(offset uint64, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	virtio.ReadConfig(c.space[:], offset, data)
}

func (c *config) setCapacity(sectors uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	binary.LittleEndian.PutUint64(c.space[offCapacity:], sectors)
}
