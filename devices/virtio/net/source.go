package net

import "bytes"

// addressesSize is what an Ethernet frame begins with: where it goes, and where it
// comes from.
const addressesSize = 2 * macSize

// own is the address that frames from the guest must come from where the device lets
// no others pass. It changes only before the device is activated.
func (d *Device) own() []byte {
	if d.c.OnlyOwn {
		return d.source[:]
	}
	return nil
}

// fromOwn reports whether a frame that begins so comes from own, nil for any address.
func fromOwn(own, frame []byte) bool {
	return own == nil || len(frame) == addressesSize && bytes.Equal(frame[macSize:], own)
}
