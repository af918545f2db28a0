package forward

import (
	"errors"
	"io"
	"sync"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/socket"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

// pair is two connections, of which each gets what comes from the other.
type pair struct {
	host    *streams.Stream
	port    *socket.Conn
	buffers *streams.Buffers
}

// run ends when both sides have sent everything, one of them fails, or the host
// is gone. Both connections are closed then.
func (p *pair) run() {
	sent := make(chan struct{}) // closed when the host has sent everything
	var wg sync.WaitGroup
	wg.Go(func() {
		ok := p.copy(p.port, p.host)
		if ok {
			_ = p.port.CloseWrite()
		}
		close(sent)
		// Whoever has the port may wait for ever for a host that went away.
		if !ok || p.host.WaitGone() {
			p.close()
		}
	})
	if p.copy(p.host, p.port) {
		_ = p.host.CloseWrite()
		<-sent
	}
	p.close()
	wg.Wait()
}

func (p *pair) close() {
	p.host.Close()
	p.port.Close()
}

// copy returns whether it ended with the end of file.
func (p *pair) copy(to io.Writer, from io.Reader) bool {
	buf := p.buffers.Get()
	defer p.buffers.Put(buf)
	for {
		n, err := from.Read(buf[:])
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return false
			}
		}
		if err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}
