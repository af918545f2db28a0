package stdio

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	connectTimeout = 10 * time.Second
	// lingerTime is how long the host has to close its side of a stream that
	// has ended.
	lingerTime = 10 * time.Second
)

// Request says which streams a process needs.
type Request struct {
	ID       string
	Stdin    bool  // without a terminal; else it is /dev/null
	Terminal *Size // nil: pipes
	Owner    int   // the user ID whose pipes or terminal they are
}

// IO is the standard streams of one process. One of Start and Abort comes
// first, and once; End after Start, and once. Resize may be called from any
// goroutine.
type IO struct {
	child   [3]int // -1: none of its own
	tty     *os.File
	outputs []*output
	input   *input
	streams []*stream
	sent    chan struct{}
	done    chan struct{} // all is closed
}

// Open waits up to 10 seconds for the connections r needs, and makes the pipes
// or the terminal.
func (h *Hub) Open(ctx context.Context, r Request) (*IO, error) {
	if r.Terminal != nil {
		if err := r.Terminal.check(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, errors.New("10 s have passed"))
	defer cancel()
	p := &IO{child: [3]int{-1, -1, -1}, sent: make(chan struct{}), done: make(chan struct{})}
	if err := p.open(ctx, h, r); err != nil {
		p.Abort()
		return nil, err
	}
	return p, nil
}

func (p *IO) open(ctx context.Context, h *Hub, r Request) error {
	names := []string{streamStdio, streamStderr}
	if r.Terminal != nil {
		names = names[:1]
	}
	for _, name := range names {
		s, err := h.take(ctx, key{r.ID, name})
		if err != nil {
			return err
		}
		p.streams = append(p.streams, s)
	}
	if r.Terminal != nil {
		return p.openTerminal(h, *r.Terminal, r.Owner)
	}
	return p.openPipes(h, r.Stdin, r.Owner)
}

// Files returns the process's own ends of streams 0, 1 and 2.
func (p *IO) Files() []uintptr {
	return []uintptr{uintptr(p.child[0]), uintptr(p.child[1]), uintptr(p.child[2])}
}

func (p *IO) closeChild() {
	for i, fd := range p.child {
		if fd >= 0 && (i == 0 || fd != p.child[i-1]) { // a terminal's are one
			_ = unix.Close(fd)
		}
		p.child[i] = -1
	}
}

// Abort gives everything back for a process that wasn't started.
func (p *IO) Abort() {
	p.closeChild()
	for _, o := range p.outputs {
		o.file.Close()
	}
	if p.input != nil {
		p.input.file.Close()
	}
	for _, s := range p.streams {
		s.Close()
	}
	close(p.done)
}

// Start begins to copy: the process has its ends.
func (p *IO) Start() {
	p.closeChild()
	for _, o := range p.outputs {
		go o.run()
	}
	if p.input != nil {
		go p.input.run()
	}
}

// End says that the process has ended. What it wrote is delivered in the
// background, for as long as the host takes.
func (p *IO) End() {
	for _, o := range p.outputs {
		o.end()
	}
	if p.input != nil && p.tty == nil {
		p.input.file.Close()
	}
	go p.finish()
}

// Sent is closed when, after End, all output is on its way to the host, or the
// host is gone.
func (p *IO) Sent() <-chan struct{} { return p.sent }

func (p *IO) finish() {
	for _, o := range p.outputs {
		<-o.done
	}
	close(p.sent)
	for _, s := range p.streams {
		_ = s.SetReadDeadline(time.Now().Add(lingerTime))
	}
	if p.input != nil {
		<-p.input.done
	}
	for i, s := range p.streams {
		if i > 0 || p.input == nil {
			_, _ = io.Copy(io.Discard, s)
		}
		s.Close()
	}
	close(p.done)
}
