package virtio

// ReadConfig serves a device's ReadConfig from the bytes of its configuration
// space.
func ReadConfig(space []byte, offset uint64, data []byte) {
	clear(data)
	if offset < uint64(len(space)) {
		copy(data, space[offset:])
	}
}
