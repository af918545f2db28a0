package stdio

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// input carries what the host sends to a process.
type input struct {
	file     *os.File // our end of the pipe, or the terminal's
	terminal bool
	stream   *stream
	buffers  *sync.Pool
	last     byte          // that was sent
	done     chan struct{} // closed when the host has sent everything
}

func (i *input) run() {
	err := i.copy()
	closed := errors.Is(err, io.EOF)
	switch {
	case !i.terminal || !closed:
		i.file.Close() // a terminal is hung up by that
	case i.hostGone():
		i.file.Close()
	default:
		i.typeEOF()
	}
	close(i.done)
	if i.terminal && closed {
		i.watch()
	}
}

// copy returns why there is no more to read. What the process doesn't want any
// more it throws away, for the host not to be stuck.
func (i *input) copy() error {
	buf := getBuffer(i.buffers)
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

// watch hangs the terminal up when the host, which has sent everything, goes
// away. It ends when the connection is closed.
func (i *input) watch() {
	raw, err := i.stream.SyscallConn()
	if err != nil {
		return
	}
	gone := false
	_ = raw.Read(func(fd uintptr) bool {
		gone = refuses(int(fd))
		return gone
	})
	if gone {
		i.file.Close()
	}
}

// hostGone tells whether the host takes no output either.
func (i *input) hostGone() bool {
	raw, err := i.stream.SyscallConn()
	if err != nil {
		return true
	}
	gone := true
	_ = raw.Control(func(fd uintptr) { gone = refuses(int(fd)) })
	return gone
}

// refuses asks by sending nothing.
func refuses(socket int) bool {
	_, err := unix.SendmsgN(socket, nil, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	return err != nil && err != unix.EAGAIN
}
