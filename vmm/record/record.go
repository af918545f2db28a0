// Package record keeps what streams of a guest's carry in a log, for as long as
// they last: output isn't lost while its owner is away, and neither it nor input
// that nobody takes holds up anything else.
//
//	guest ─▶ vsock's unix socket ─▶ Recorder ─▶ logfile.Writer
//	guest ◀─ vsock's unix socket ◀─ input ◀─ one client after the other
//
// A guest that sends without end has its log rotated; one that doesn't read has
// the client wait that sends it input.
package record

import (
	"errors"
	"fmt"

	"github.com/bulkhead-vm/bulkhead/vmm/logfile"
)

// What errors of Set.Record wrap, beside those of the host's files.
var (
	// ErrInvalid: the request makes no sense.
	ErrInvalid = errors.New("can't be recorded")
	// ErrExists: there is a recorder of that name.
	ErrExists = errors.New("is being recorded")
	// ErrTooMany: some other recorder has to end first.
	ErrTooMany = errors.New("too many recorders")
	// ErrUnreachable: the guest doesn't take the connection.
	ErrUnreachable = errors.New("the guest can't be reached")
	// ErrClosed: the machine has ended.
	ErrClosed = errors.New("the machine has ended")
)

// Limits of one request.
const (
	maxName     = 255
	maxStreams  = 16
	maxGreeting = 4096
)

// Stream is a connection to the guest.
type Stream struct {
	Socket   string // path of the unix socket that leads to the guest's Port
	Port     uint32
	Greeting string // sent first, as it is
	Label    string // of its records in the log
}

// Config describes a recorder.
type Config struct {
	Name    string
	Streams []Stream
	Log     logfile.Config
	// Input is the path of a unix socket to be made, whose clients' input goes
	// to the first stream: see input. Empty: that stream has none.
	Input string
}

func (c *Config) check() error {
	switch {
	case c.Name == "" || len(c.Name) > maxName:
		return fmt.Errorf("%w: name of %d bytes: it has 1 to %d", ErrInvalid, len(c.Name), maxName)
	case len(c.Streams) == 0 || len(c.Streams) > maxStreams:
		return fmt.Errorf("%w: %d streams: there are 1 to %d", ErrInvalid, len(c.Streams), maxStreams)
	case c.Log.Path == "" || c.Log.MaxBytes < 0:
		return fmt.Errorf("%w: log file %q of %d bytes", ErrInvalid, c.Log.Path, c.Log.MaxBytes)
	}
	for _, s := range c.Streams {
		if len(s.Greeting) > maxGreeting {
			return fmt.Errorf("%w: greeting of %d bytes: it has up to %d", ErrInvalid, len(s.Greeting), maxGreeting)
		}
		if err := logfile.CheckLabel(s.Label); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	return nil
}
