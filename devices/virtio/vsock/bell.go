package vsock

import (
	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/devices/backend/poll"
)

// bell is an eventfd.
type bell struct {
	fd int
	do func()
}

func (b bell) event(*engine, uint32) {
	var count [8]byte
	unix.Read(b.fd, count[:]) // clear it; the number doesn't matter
	b.do()
}

// watchAll adds what is there from the start.
func (e *engine) watchAll() error {
	bells := []bell{
		{e.wake.FD(), func() {}},
		{e.tx.Kick.FD(), func() { e.txWork = true }},
		{e.rx.Kick.FD(), func() { e.rxWork = true }},
	}
	if e.event != nil {
		bells = append(bells, bell{e.event.Kick.FD(), func() { e.notice.look = true }})
	}
	for _, b := range bells {
		if _, err := e.watch(b.fd, poll.In, b); err != nil {
			return err
		}
	}
	for _, d := range e.doors {
		if _, err := e.watch(d.fd, poll.In|poll.Edge, d); err != nil {
			return err
		}
	}
	return nil
}
