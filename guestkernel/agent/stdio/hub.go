package stdio

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

const (
	maxLoose = 256         // connections that no process has
	looseFor = time.Minute // how long such a connection is kept
)

// Hub brings connections and the processes they are for together. Its methods
// may be called from any goroutine.
type Hub struct {
	mu     sync.Mutex
	places map[key]*place
	loose  int

	buffers sync.Pool // of *[bufferSize]byte
}

// place is where a connection and a process meet.
type place struct {
	stream  *stream
	arrived chan struct{} // closed when stream is there
	taken   bool          // somebody waits for it
	expiry  *time.Timer
}

// NewHub returns a hub that nobody has connected to.
func NewHub() *Hub {
	return &Hub{places: map[key]*place{}}
}

// Serve takes the connections of l until Accept fails, and returns its error.
// A connection that isn't a Conn or doesn't say what it is for is closed.
func (h *Hub) Serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		if conn, ok := c.(Conn); ok && h.admit() {
			go h.greet(conn)
		} else {
			c.Close()
		}
	}
}

func (h *Hub) admit() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.loose >= maxLoose {
		return false
	}
	h.loose++
	return true
}

func (h *Hub) greet(c Conn) {
	k, s, err := readHeader(c, headerTimeout)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.discard(c)
		return
	}
	p := h.place(k)
	if p.stream != nil { // the newest is the one the host means
		h.discard(p.stream)
		p.stream = s
		return
	}
	p.stream = s
	close(p.arrived)
	if !p.taken {
		p.expiry = time.AfterFunc(looseFor, func() { h.drop(k, p) })
	}
}

// discard closes a loose connection. The caller holds h.mu.
func (h *Hub) discard(c Conn) {
	c.Close()
	h.loose--
}

// place returns that of k. The caller holds h.mu.
func (h *Hub) place(k key) *place {
	p := h.places[k]
	if p == nil {
		p = &place{arrived: make(chan struct{})}
		h.places[k] = p
	}
	return p
}

// take waits for the connection k, which is the caller's from then on.
func (h *Hub) take(ctx context.Context, k key) (*stream, error) {
	h.mu.Lock()
	p := h.place(k)
	p.taken = true
	if p.expiry != nil {
		p.expiry.Stop()
	}
	h.mu.Unlock()
	select {
	case <-p.arrived:
	case <-ctx.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.places, k)
	if p.stream == nil {
		return nil, fail.Errorf(fail.Late, "no connection with %q came: %w", headerMagic+" "+k.id+" "+k.stream, context.Cause(ctx))
	}
	h.loose--
	return p.stream, nil
}

// Drop closes the connections for the process id that nobody has taken.
func (h *Hub) Drop(id string) {
	for _, name := range []string{streamStdio, streamStderr} {
		h.drop(key{id, name}, nil)
	}
}

// drop empties the place k, if it is still p or p is nil.
func (h *Hub) drop(k key, p *place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.places[k]
	if now == nil || now.taken || p != nil && now != p {
		return
	}
	delete(h.places, k)
	if now.expiry != nil {
		now.expiry.Stop()
	}
	if now.stream != nil {
		h.discard(now.stream)
	}
}
