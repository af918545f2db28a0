package stdio

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

// output carries what a process writes to the host.
type output struct {
	file    *os.File // our end of the pipe, or the terminal's
	stream  *streams.Link
	buffers *streams.Buffers
	tie     *tie // nil: none on this stream
	// waiting returns how much there is at most to read in file.
	waiting func(fd int) int
	done    chan struct{}

	mu      sync.Mutex
	ended   bool
	flushes []chan struct{} // asked for and not done
}

// run ends at the end of file, when the host is gone, or when all is delivered
// after end. It leaves whoever still writes with a broken pipe or a terminal
// that was hung up.
func (o *output) run() {
	defer close(o.done)
	buf := o.buffers.Get()
	for o.copy(buf[:]) && o.deliver(buf[:]) {
	}
	o.buffers.Put(buf)
	o.file.Close()
	if o.tie != nil {
		<-o.tie.over // it can't tell who is gone after this:
	}
	_ = o.stream.CloseWrite()
}

// end says that what is in the pipe now is all.
func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.interrupt()
}

// flush returns a channel that is closed when what is in the pipe now is on its way
// to the host.
func (o *output) flush() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return o.done
	}
	flushed := make(chan struct{})
	o.flushes = append(o.flushes, flushed)
	o.interrupt()
	return flushed
}

// interrupt has copy return.
func (o *output) interrupt() { _ = o.file.SetReadDeadline(time.Unix(1, 0)) }

// copy returns whether it was interrupted. A terminal without processes reads as
// EIO, which is an end of file like any other.
func (o *output) copy(buf []byte) (interrupted bool) {
	for {
		n, err := o.file.Read(buf)
		if n > 0 {
			if _, err := o.stream.Write(buf[:n]); err != nil {
				return false
			}
		}
		if err != nil {
			return errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}

// deliver does what copy was interrupted for, and returns whether there may be more
// to copy.
func (o *output) deliver(buf []byte) (more bool) {
	o.mu.Lock()
	ended, flushes := o.ended, o.flushes
	o.flushes = nil
	err := o.file.SetReadDeadline(time.Time{})
	o.mu.Unlock()
	ok := err == nil && o.drain(buf)
	for _, f := range flushes {
		close(f)
	}
	return ok && !ended
}

// drain delivers what is there to read, without waiting for more. It returns whether
// the host takes it.
func (o *output) drain(buf []byte) bool {
	raw, err := o.file.SyscallConn()
	if err != nil {
		return false
	}
	left := -1
	read := func() (n int) {
		_ = raw.Read(func(fd uintptr) bool {
			if left < 0 {
				left = o.waiting(int(fd))
			}
			n, _ = unix.Read(int(fd), buf[:min(left, len(buf))])
			return true
		})
		return n
	}
	for n := read(); n > 0; n = read() {
		if _, err := o.stream.Write(buf[:n]); err != nil {
			return false
		}
		left -= n
	}
	return true
}
