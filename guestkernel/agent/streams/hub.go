package streams

import (
	"errors"
	"net"
	"sync"
	"time"
)

const (
	maxLoose = 256         // connections that nobody has taken
	looseFor = time.Minute // how long such a connection is kept
)

var errOver = errors.New("the process has ended")

// Hub brings connections and those they are for together. Its methods may be
// called from any goroutine.
type Hub struct {
	// Buffers is for whoever copies to and from streams.
	Buffers Buffers
	// Over tells whether a process has ended, and its streams with it: who connects
	// to them finds their end. nil: none has. It is set before Serve, and must not
	// use the hub.
	Over func(id string) bool

	mu     sync.Mutex
	places map[key]*place
	loose  int
	links  map[key]*Link
	hold   *hold // nil: a connection that breaks is the end
}

// place is where a connection and its taker meet.
type place struct {
	stream  *Stream
	arrived chan struct{} // closed when stream is there
	taken   bool          // somebody waits for it
	expiry  *time.Timer
}

// NewHub returns a hub that nobody has connected to.
func NewHub() *Hub {
	return &Hub{places: map[key]*place{}, links: map[key]*Link{}}
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
	line, s, err := ReadLine(c, headerLimit, headerTimeout)
	var k key
	if err == nil {
		k, err = parseHeader(line)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil && k.stream != File && h.Over != nil && h.Over(k.id) {
		err = errOver
	}
	if err != nil {
		h.discard(c)
		return
	}
	if l := h.links[k]; l != nil && h.mayWait(l.lastHold()) != nil && l.follow(s, h.hold) {
		h.loose--
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

// forget has no connection go to l any more.
func (h *Hub) forget(l *Link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.links[l.key] == l {
		delete(h.links, l.key)
	}
}

// Drop closes the streams of id that nobody has taken.
func (h *Hub) Drop(id string, names ...string) {
	for _, name := range names {
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
