package stdio

import (
	"context"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

// lingerTime is how long the host has to close its side of a stream that has
// ended.
const lingerTime = 10 * time.Second

// IO is the standard streams of one process. One of Start and Abort comes
// first, and once; End after Start, and once. Resize and Flush may be called from
// any goroutine.
type IO struct {
	child   [3]int // -1: none of its own
	tty     *os.File
	outputs []*output
	input   *input
	streams []*streams.Link
	tie     *tie // nil: none
	sent    chan struct{}
	done    chan struct{} // all is closed
	drop    func()        // closes connections that came meanwhile
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
	p.tie.cut()
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
	if p.tie != nil {
		go p.tie.run()
	}
}

// End says that the process has ended. What it wrote is delivered in the
// background, for as long as the host takes.
func (p *IO) End() {
	p.tie.cut()
	for _, o := range p.outputs {
		o.end()
	}
	if p.input != nil && p.tty == nil {
		p.input.file.Close()
	}
	go p.finish()
}

// Flush waits until what the process has written is on its way to the host, for as
// long as ctx. It comes after Start.
func (p *IO) Flush(ctx context.Context) error {
	flushed := make([]<-chan struct{}, len(p.outputs))
	for i, o := range p.outputs {
		flushed[i] = o.flush()
	}
	for i, o := range p.outputs {
		select {
		case <-flushed[i]:
		case <-o.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Sent is closed when, after End, all output is on its way to the host, or the
// host is gone.
func (p *IO) Sent() <-chan struct{} { return p.sent }

// Over tells whether all is closed.
func (p *IO) Over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

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
	p.drop()
}
