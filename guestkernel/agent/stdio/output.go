package stdio

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

// output carries what a process writes to the host.
type output struct {
	file    *os.File // our end of the pipe, or the terminal's
	stream  *streams.Stream
	buffers *streams.Buffers
	tie     *tie // nil: none on this stream
	// waiting returns how much there is at most to read in file.
	waiting func(fd int) int
	done    chan struct{}
}

// run ends at the end of file, when the host is gone, or when all is delivered
// after end. It leaves whoever still writes with a broken pipe or a terminal
// that was hung up.
func (o *output) run() {
	defer close(o.done)
	buf := o.buffers.Get()
	if o.copy(buf[:]) {
		o.drain(buf[:])
	}
	o.buffers.Put(buf)
	o.file.Close()
	if o.tie != nil {
		<-o.tie.over // it can't tell who is gone after this:
	}
	_ = o.stream.CloseWrite()
}

// end says that what is in the pipe now is all.
func (o *output) end() { _ = o.file.SetReadDeadline(time.Unix(1, 0)) }

// copy returns whether it was ended by end. A terminal without processes reads
// as EIO, which is an end of file like any other.
func (o *output) copy(buf []byte) (ended bool) {
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

// drain delivers what is there to read, without waiting for more.
func (o *output) drain(buf []byte) {
	if o.file.SetReadDeadline(time.Time{}) != nil {
		return
	}
	raw, err := o.file.SyscallConn()
	if err != nil {
		return
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
			return
		}
		left -= n
	}
}
