package net

import (
	"encoding/binary"
	"sync"

	"github.com/bulkhead-vm/bulkhead/devices/virtio"
)

// Feature bits; section 5.1.3.
const (
	featureCsum            = 1 << 0
	featureGuestCsum       = 1 << 1
	featureControlOffloads = 1 << 2
	featureMTU             = 1 << 3
	featureMAC             = 1 << 5
	featureGuestTSO4       = 1 << 7
	featureGuestTSO6       = 1 << 8
	featureGuestECN        = 1 << 9
	featureHostTSO4        = 1 << 11
	featureHostTSO6        = 1 << 12
	featureHostECN         = 1 << 13
	featureMergeable       = 1 << 15
	featureStatus          = 1 << 16
	featureControl         = 1 << 17
	featureControlRX       = 1 << 18
	featureMultiQueue      = 1 << 22
	featureControlMAC      = 1 << 23

	// guestOffloads are those the guest takes, and may turn on and off.
	guestOffloads = featureGuestCsum | featureGuestTSO4 | featureGuestTSO6 | featureGuestECN
)

// Configuration space; section 5.1.4.
const (
	configSize  = 12
	offStatus   = 6
	offMaxPairs = 8
	offMTU      = 10

	statusLinkUp = 1
	macSize      = 6
)

// config is the device's configuration space, of which the address and the
// link's status change.
type config struct {
	mu    sync.Mutex
	space [configSize]byte
}

func newConfig(mac []byte, pairs int, mtu uint16) *config {
	c := &config{}
	copy(c.space[:], mac)
	binary.LittleEndian.PutUint16(c.space[offStatus:], statusLinkUp)
	binary.LittleEndian.PutUint16(c.space[offMaxPairs:], uint16(pairs))
	binary.LittleEndian.PutUint16(c.space[offMTU:], mtu)
	return c
}

func (c *config) read(offset uint64, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	virtio.ReadConfig(c.space[:], offset, data)
}

func (c *config) setMAC(mac []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	copy(c.space[:macSize], mac)
}

func (c *config) mac() []byte {
	mac := make([]byte, macSize)
	c.read(0, mac)
	return mac
}

func (c *config) setLink(up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.space[offStatus] &^= statusLinkUp
	if up {
		c.space[offStatus] |= statusLinkUp
	}
}
