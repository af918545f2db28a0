package client

import (
	"context"
	"errors"
	"io"
	"sync"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Conn is a connection to a port in a sandbox. One goroutine may read while
// another writes.
type Conn struct {
	stream bulkheadv1.Ports_PortForwardClient
	end    context.CancelFunc
	rest   []byte

	sending sync.Mutex
}

// Forward connects to a TCP port on the loopback of a sandbox's guest. The caller
// closes the connection, which also ends with ctx.
func (c *Client) Forward(ctx context.Context, sandbox string, port uint16) (*Conn, error) {
	ctx, end := context.WithCancel(ctx)
	conn, err := c.forward(ctx, sandbox, port)
	if err != nil {
		end()
		return nil, err
	}
	conn.end = end
	return conn, nil
}

func (c *Client) forward(ctx context.Context, sandbox string, port uint16) (*Conn, error) {
	stream, err := c.Ports.PortForward(ctx)
	if err != nil {
		return nil, err
	}
	start := &bulkheadv1.PortForwardStart{Sandbox: sandbox, Port: uint32(port)}
	err = stream.Send(&bulkheadv1.PortForwardRequest{Request: &bulkheadv1.PortForwardRequest_Start{Start: start}})
	if err != nil && !errors.Is(err, io.EOF) { // then Recv says why
		return nil, err
	}
	if _, err := stream.Recv(); err != nil { // connected
		return nil, err
	}
	return &Conn{stream: stream}, nil
}

// Read implements io.Reader.
func (c *Conn) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		m, err := c.stream.Recv()
		if err != nil {
			return 0, err
		}
		if m.GetCloseWrite() != nil {
			return 0, io.EOF
		}
		c.rest = m.GetData()
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Write implements io.Writer.
func (c *Conn) Write(p []byte) (int, error) {
	return writeChunks(p, func(chunk []byte) error {
		c.sending.Lock()
		defer c.sending.Unlock()
		return c.stream.Send(&bulkheadv1.PortForwardRequest{Request: &bulkheadv1.PortForwardRequest_Data{Data: chunk}})
	})
}

// CloseWrite says that no more will be written.
func (c *Conn) CloseWrite() error {
	c.sending.Lock()
	defer c.sending.Unlock()
	return c.stream.CloseSend()
}

// Close ends the connection.
func (c *Conn) Close() error {
	c.end()
	return nil
}
