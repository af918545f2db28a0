// Package forward connects the host to TCP ports on the guest's loopback.
//
// A connection starts with the line "bulkhead-forward/1 PORT\n". The answer is
// "OK\n" and then what the port's owner sends, or one line with the reason why
// not, and the end. End of file goes through, in both directions.
package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/socket"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

const (
	maxForwards = 256

	headerMagic = "bulkhead-forward/1"
	headerLimit = 32 // bytes, the newline included
	headerTime  = 10 * time.Second
	dialTime    = 10 * time.Second
	answerTime  = time.Second
)

// server is the state of Serve.
type server struct {
	buffers *streams.Buffers
	slots   chan struct{} // has a token for each connection
}

// Serve takes the connections of l, which are streams.Conn, until Accept fails,
// and returns its error. What they need to be copied comes from buffers.
func Serve(l net.Listener, buffers *streams.Buffers) error {
	s := &server{buffers, make(chan struct{}, maxForwards)}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		conn, ok := c.(streams.Conn)
		if !ok {
			c.Close()
			continue
		}
		select {
		case s.slots <- struct{}{}:
			go s.serve(conn)
		default:
			refuse(conn, fmt.Errorf("%d connections are forwarded, the most there may be", maxForwards))
			conn.Close()
		}
	}
}

func (s *server) serve(c streams.Conn) {
	defer func() { <-s.slots }()
	defer c.Close()
	host, port, err := begin(c)
	if err != nil {
		refuse(c, err)
		return
	}
	defer port.Close()
	if _, err := c.Write([]byte("OK\n")); err == nil {
		(&pair{host, port, s.buffers}).run()
	}
}

// begin connects to the port that c asks for.
func begin(c streams.Conn) (*streams.Stream, *socket.Conn, error) {
	line, host, err := streams.ReadLine(c, headerLimit, headerTime)
	if err != nil {
		return nil, nil, err
	}
	port, err := parseHeader(line)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	conn, err := dial(ctx, port)
	return host, conn, err
}

var errHeader = errors.New("not a header line of " + headerMagic)

func parseHeader(line string) (port uint16, err error) {
	digits, ok := strings.CutPrefix(line, headerMagic+" ")
	if !ok {
		return 0, errHeader
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 || digits[0] == '0' {
		return 0, fmt.Errorf("%w: ports are 1 to 65535", errHeader)
	}
	return uint16(n), nil
}

// refuse answers with the reason. A fresh connection has room for it.
func refuse(c streams.Conn, reason error) {
	_ = c.SetWriteDeadline(time.Now().Add(answerTime))
	_, _ = c.Write([]byte(strings.ReplaceAll(reason.Error(), "\n", " ") + "\n"))
}
