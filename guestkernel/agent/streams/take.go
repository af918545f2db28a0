package streams

import (
	"context"
	"errors"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

const connectTimeout = 10 * time.Second

var errWaited = errors.New("10 s have passed")

// Take waits up to 10 seconds for the streams of id with these names, which are
// the caller's from then on: all of them or, with an error, none.
func (h *Hub) Take(ctx context.Context, id string, names ...string) ([]*Stream, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, errWaited)
	defer cancel()
	var taken []*Stream
	for _, name := range names {
		s, err := h.take(ctx, key{id, name})
		if err != nil {
			for _, s := range taken {
				s.Close()
			}
			return nil, err
		}
		taken = append(taken, s)
	}
	return taken, nil
}

// Links is Take for streams that are to outlive their connections.
func (h *Hub) Links(ctx context.Context, id string, names ...string) ([]*Link, error) {
	taken, err := h.Take(ctx, id, names...)
	if err != nil {
		return nil, err
	}
	links := make([]*Link, len(taken))
	for i, s := range taken {
		links[i] = newLink(h, key{id, names[i]}, s)
	}
	return links, nil
}

func (h *Hub) take(ctx context.Context, k key) (*Stream, error) {
	p, err := h.claim(k)
	if err != nil {
		return nil, err
	}
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

// claim makes the place k the caller's.
func (h *Hub) claim(k key) (*place, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.place(k)
	if p.taken {
		return nil, fail.Errorf(fail.Exists, "ID %q is in use", k.id)
	}
	p.taken = true
	if p.expiry != nil {
		p.expiry.Stop()
	}
	return p, nil
}
