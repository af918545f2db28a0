package guest

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// maxReason bounds why a port can't be reached.
const maxReason = 256

// ErrRefused is wrapped by errors of Forward where the guest answered that it
// can't.
var ErrRefused = errors.New("the guest can't connect")

// Forward connects to a TCP port on the guest's loopback.
func (a *Agent) Forward(ctx context.Context, port uint16) (*net.UnixConn, error) {
	conn, err := dial(ctx, a.path, forwardPort)
	if err != nil {
		return nil, fmt.Errorf("port %d of the guest: %w", port, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := ask(conn, port); err != nil {
		return nil, errors.Join(fmt.Errorf("port %d of the guest: %w", port, err), conn.Close())
	}
	return conn, nil
}

func ask(conn net.Conn, port uint16) error {
	deadline(conn, lineTime)
	defer deadline(conn, 0)
	if _, err := fmt.Fprintf(conn, "bulkhead-forward/1 %d\n", port); err != nil {
		return err
	}
	line, err := readLine(conn, maxReason)
	if err != nil {
		return err
	}
	if line != "OK" {
		return fmt.Errorf("%w: %q", ErrRefused, line)
	}
	return nil
}
