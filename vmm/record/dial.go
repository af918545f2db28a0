package record

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// maxAnswer bounds the answer to CONNECT: "OK " and a port.
const maxAnswer = 32

// dial connects to a stream's port and sends the greeting. The guest has until
// ctx is done.
func (s *Stream) dial(ctx context.Context) (*net.UnixConn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "unix", s.Socket)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	conn := c.(*net.UnixConn)
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	err = s.greet(conn)
	if !stop() { // the deadline is set, or about to be
		err = errors.Join(err, context.Cause(ctx))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: port %d: %w", ErrUnreachable, s.Port, err), conn.Close())
	}
	return conn, nil
}

func (s *Stream) greet(conn net.Conn) error {
	if _, err := fmt.Fprintf(conn, "CONNECT %d\n", s.Port); err != nil {
		return err
	}
	answer, err := readLine(conn)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	if !strings.HasPrefix(answer, "OK ") {
		return fmt.Errorf("unexpected answer %q", answer)
	}
	_, err = conn.Write([]byte(s.Greeting))
	return err
}

// readLine reads byte by byte: what follows the line is the stream's.
func readLine(conn net.Conn) (string, error) {
	var line []byte
	for b := make([]byte, 1); len(line) < maxAnswer; line = append(line, b[0]) {
		if _, err := conn.Read(b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return string(line), nil
		}
	}
	return "", fmt.Errorf("line of more than %d bytes", maxAnswer)
}
