package vsock

import "golang.org/x/sys/unix"

// A connection's window is how many bytes the guest may have on their way to a
// host process that hasn't taken them: the buf_alloc of section 5.10.6.3, and
// what the device may have to hold. Each starts with a small one and gets a
// large one when its host process keeps up, as long as the pool lasts. So all
// that may come fits maxHeld, and a slow host process never is a reason not to
// listen to the rest of the guest.
const (
	smallWindow = 8 << 10
	largeWindow = 256 << 10
	growth      = largeWindow - smallWindow

	windowPool = maxHeld - maxConns*smallWindow
)

// credit is a connection's flow control in both directions; section 5.10.6.3.
// Counters wrap around.
type credit struct {
	// From the device to the guest.
	peerBufAlloc, peerFwdCount uint32 // as the guest last said
	sentCount                  uint32 // bytes sent to the guest
	queried                    bool   // the guest was asked for more, and gave none yet

	// From the guest to the host process.
	window       uint32
	fwdCount     uint32 // bytes passed on
	toldFwdCount uint32 // fwdCount when the guest last heard of it
}

// free is how many bytes the guest will take.
func (c *credit) free() uint32 {
	inFlight := c.sentCount - c.peerFwdCount
	if inFlight > c.peerBufAlloc {
		return 0
	}
	return c.peerBufAlloc - inFlight
}

// hear takes what a packet of the guest's says. A count beyond what was sent
// is no news, nor is one from before the last: packets of several threads may
// overtake each other.
func (c *credit) hear(h *header) {
	c.peerBufAlloc = h.bufAlloc
	if h.fwdCount-c.peerFwdCount <= c.sentCount-c.peerFwdCount {
		c.peerFwdCount = h.fwdCount
	}
	if c.free() > 0 {
		c.queried = false
	}
}

// stale reports whether the guest, which stops when its window is full, is to
// hear how much of it is free again.
func (c *credit) stale() bool { return c.fwdCount-c.toldFwdCount >= c.window/2 }

// grow gives c a large window if it has shown use for one. It reports whether
// the guest is to hear of it.
func (e *engine) grow(c *conn) bool {
	if c.window == largeWindow || !c.stale() || c.pending.size > 0 || e.pool < growth {
		return false
	}
	e.pool -= growth
	c.window = largeWindow
	// It fails only if the host process has gone.
	unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, largeSendBuffer)
	return true
}

// shrink gives back what grow took.
func (e *engine) shrink(c *conn) {
	if c.window == largeWindow {
		e.pool += growth
	}
	c.window = smallWindow
}
