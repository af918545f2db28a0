package virtio

// DriverFeatures returns 32 of the bits the driver has accepted.
func (c *Common) DriverFeatures(word uint32) uint32 {
	if word > 1 {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return uint32(c.features >> (32 * word))
}

// QueueCount returns the number of queues.
func (c *Common) QueueCount() int { return len(c.queues) }

// QueueSize returns the number of descriptors that queue i has now: QueueMax
// until the driver sets another.
func (c *Common) QueueSize(i uint32) uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if int64(i) >= int64(len(c.queues)) {
		return 0
	}
	return c.queues[i].Size
}

// QueueAddress returns one half of an area's address.
func (c *Common) QueueAddress(i uint32, area Area, high bool) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if int64(i) >= int64(len(c.queues)) {
		return 0
	}
	gpa := *c.queues[i].area(area)
	if high {
		gpa >>= 32
	}
	return uint32(gpa)
}
