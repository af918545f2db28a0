package record

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Messages of an input socket's clients. That a client has gone, or sends no more,
// doesn't end the input: the next one goes on.
const (
	// messageData: two bytes of length follow, the most significant first, and
	// as many of input.
	messageData = 'D'
	// messageEnd: there is no more input, for good.
	messageEnd = 'E'
)

// errEnd says that no more input is wanted, or none will come.
var errEnd = errors.New("end of input")

// forward passes on what one client sends, message by message, until it goes, breaks
// the protocol, or ends the input. What the guest doesn't read, the client waits for.
func forward(to io.Writer, client io.Reader) error {
	from := bufio.NewReader(client)
	for {
		kind, err := from.ReadByte()
		if err != nil {
			return err
		}
		switch kind {
		case messageEnd:
			return errEnd
		case messageData:
		default:
			return fmt.Errorf("message %q of an input client", kind)
		}
		var length [2]byte
		if _, err := io.ReadFull(from, length[:]); err != nil {
			return err
		}
		if err := pass(to, from, int(binary.BigEndian.Uint16(length[:]))); err != nil {
			return err
		}
	}
}

// pass copies n bytes. A message that is cut off is passed on as far as it came.
func pass(to io.Writer, from *bufio.Reader, n int) error {
	for n > 0 {
		if _, err := from.Peek(1); err != nil {
			return err
		}
		b, _ := from.Peek(min(n, from.Buffered())) // they are there
		if _, err := to.Write(b); err != nil {
			return errEnd // nobody takes it any more
		}
		from.Discard(len(b))
		n -= len(b)
	}
	return nil
}
