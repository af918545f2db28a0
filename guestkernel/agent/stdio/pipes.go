package stdio

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

// openPipes makes the process's ends belong to owner, as it couldn't open
// /dev/stdout otherwise.
func (p *IO) openPipes(h *streams.Hub, stdin bool, owner int) error {
	if err := p.openInput(h, stdin, owner); err != nil {
		return err
	}
	for i, s := range p.streams {
		var ends [2]int
		if err := pipe(&ends, 0, owner); err != nil {
			return err
		}
		p.child[1+i] = ends[1]
		p.outputs = append(p.outputs, &output{
			file:    os.NewFile(uintptr(ends[0]), "output pipe"),
			stream:  s,
			buffers: &h.Buffers,
			waiting: pipeContent,
			done:    make(chan struct{}),
		})
	}
	p.outputs[0].tie = p.tie
	return nil
}

func (p *IO) openInput(h *streams.Hub, stdin bool, owner int) (err error) {
	if !stdin {
		p.child[0], err = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/null: %w", err)
		}
		return nil
	}
	var ends [2]int
	if err := pipe(&ends, 1, owner); err != nil {
		return err
	}
	p.child[0] = ends[0]
	p.input = &input{
		file:    os.NewFile(uintptr(ends[1]), "input pipe"),
		stream:  p.streams[0],
		buffers: &h.Buffers,
		done:    make(chan struct{}),
	}
	return nil
}

// pipe makes a pipe whose end number ours doesn't block; the other blocks, as
// programs expect, and belongs to owner.
func pipe(ends *[2]int, ours, owner int) error {
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("pipe: %w", err)
	}
	err := unix.SetNonblock(ends[ours], true)
	if err == nil && owner != 0 {
		err = unix.Fchown(ends[1-ours], owner, -1)
	}
	if err != nil {
		unix.Close(ends[0])
		unix.Close(ends[1])
		return fmt.Errorf("pipe: %w", err)
	}
	return nil
}

func pipeContent(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}
