package stdio

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

// input carries what the host sends to a process.
type input struct {
	file     *os.File // our end of the pipe, or the terminal's
	terminal bool
	stream   *streams.Link
	buffers  *streams.Buffers
	last     byte          // that was sent
	done     chan struct{} // closed when the host has sent everything
}

func (i *input) run() {
	err := i.copy()
	closed := errors.Is(err, io.EOF)
	switch {
	case !i.terminal || !closed:
		i.file.Close() // a terminal is hung up by that
	case i.stream.Gone():
		i.file.Close()
	default:
		i.typeEOF()
	}
	close(i.done)
	// A host that has sent everything may still go away.
	if i.terminal && closed && i.stream.WaitGone() {
		i.file.Close()
	}
}

// copy returns why there is no more to read. What the process doesn't want any
// more it throws away, for the host not to be stuck.
func (i *input) copy() error {
	buf := i.buffers.Get()
	defer i.buffers.Put(buf)
	wanted := true
	for {
		n, err := i.stream.Read(buf[:])
		if n > 0 && wanted {
			if _, err := i.file.Write(buf[:n]); err != nil {
				wanted = false
				i.file.Close()
			}
			i.last = buf[n-1]
		}
		if err != nil {
			return err
		}
	}
}

// typeEOF types the character that ends a terminal's input. After an
// unfinished line the first only ends the line.
func (i *input) typeEOF() {
	raw, err := i.file.SyscallConn()
	if err != nil {
		return
	}
	var eof byte
	_ = raw.Control(func(fd uintptr) {
		if t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS); err == nil {
			eof = t.Cc[unix.VEOF]
		}
	})
	if eof == 0 {
		return // switched off
	}
	keys := []byte{eof}
	if i.last != 0 && i.last != '\n' && i.last != '\r' && i.last != eof {
		keys = append(keys, eof)
	}
	_, _ = i.file.Write(keys)
}
