package virtqueue

// Copying between a chain and the device's own memory, wherever the driver cut
// the chain into buffers; virtio 1.2, section 2.7.4: a device makes no
// assumptions about that.

// Read copies the first bytes of the readable buffers into p and returns how
// many there were.
func (c *Chain) Read(p []byte) int { return c.ReadAt(p, 0) }

// ReadAt is Read from byte off on.
func (c *Chain) ReadAt(p []byte, off int) int {
	n := 0
	for _, b := range c.Readable {
		if off >= len(b) {
			off -= len(b)
			continue
		}
		n += copy(p[n:], b[off:])
		off = 0
		if n == len(p) {
			break
		}
	}
	return n
}

// Write copies p to the first bytes of the writable buffers and returns how
// many fit.
func (c *Chain) Write(p []byte) int { return c.WriteAt(p, 0) }

// WriteAt is Write from byte off on.
func (c *Chain) WriteAt(p []byte, off int) int {
	n := 0
	for _, b := range c.Writable {
		if off >= len(b) {
			off -= len(b)
			continue
		}
		n += copy(b[off:], p[n:])
		off = 0
		if n == len(p) {
			break
		}
	}
	return n
}
