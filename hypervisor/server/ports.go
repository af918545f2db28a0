package server

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// ports implements bulkheadv1.PortsServer.
type ports struct {
	bulkheadv1.UnimplementedPortsServer
	node *node.Node
}

// PortForward implements bulkheadv1.PortsServer.
func (s *ports) PortForward(stream bulkheadv1.Ports_PortForwardServer) error {
	return toStatus(s.forward(stream))
}

func (s *ports) forward(stream bulkheadv1.Ports_PortForwardServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	switch {
	case start == nil:
		return fault.InvalidField("start", "the first message must be it")
	case start.GetPort() < 1 || start.GetPort() > 65535:
		return fault.InvalidField("start.port", "ports are 1 to 65535")
	}
	i, end, err := s.node.Use(start.GetSandbox())
	if err != nil {
		return err
	}
	defer end()
	return i.With(stream.Context(), func(ctx context.Context, a *guest.Agent) error {
		conn, err := a.Forward(ctx, uint16(start.GetPort()))
		if err != nil {
			return err
		}
		f := &forwarding{conn: conn, stream: stream}
		return f.run(ctx)
	})
}

// forwarding is a connection into a guest and the call that carries it.
type forwarding struct {
	conn   *net.UnixConn
	stream bulkheadv1.Ports_PortForwardServer
}

// run ends with the call, or when the guest has closed its side and the client
// its own.
func (f *forwarding) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { f.conn.Close() })
	defer stop()
	defer f.conn.Close()
	connected := &bulkheadv1.PortForwardResponse_Connected{Connected: &bulkheadv1.PortForwardConnected{}}
	if err := f.stream.Send(&bulkheadv1.PortForwardResponse{Response: connected}); err != nil {
		return err
	}
	fromClient := make(chan error, 1)
	go func() { fromClient <- f.fromClient() }()
	if err := f.fromGuest(); err != nil {
		select {
		case cause := <-fromClient: // it was the client's doing
			return errors.Join(cause, err)
		default:
			return err
		}
	}
	select { // the guest has said all
	case err := <-fromClient:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// fromGuest sends what the guest says, until it says no more.
func (f *forwarding) fromGuest() error {
	for {
		buf := make([]byte, chunk) // sent, and then the stream's
		n, err := f.conn.Read(buf)
		if n > 0 {
			data := &bulkheadv1.PortForwardResponse_Data{Data: buf[:n]}
			if err := f.stream.Send(&bulkheadv1.PortForwardResponse{Response: data}); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			closed := &bulkheadv1.PortForwardResponse_CloseWrite{CloseWrite: &bulkheadv1.CloseWrite{}}
			return f.stream.Send(&bulkheadv1.PortForwardResponse{Response: closed})
		case err != nil:
			return err
		}
	}
}

// fromClient writes what the client says, until it says no more.
func (f *forwarding) fromClient() error {
	for {
		m, err := f.stream.Recv()
		if errors.Is(err, io.EOF) {
			f.conn.CloseWrite() // the guest may have gone
			return nil
		}
		if err != nil {
			return err
		}
		switch r := m.GetRequest().(type) {
		case *bulkheadv1.PortForwardRequest_Data:
			if len(r.Data) > maxInput {
				return f.refuse(fault.InvalidField("data", "64 KiB is the most in a message"))
			}
			if _, err := f.conn.Write(r.Data); err != nil {
				return err
			}
		case *bulkheadv1.PortForwardRequest_CloseWrite:
			f.conn.CloseWrite() // likewise
			return nil
		default:
			return f.refuse(fault.InvalidField("request", "start comes first, and once; then data and close_write"))
		}
	}
}

// refuse ends the forwarding because of what the client sent.
func (f *forwarding) refuse(err error) error {
	f.conn.Close()
	return err
}
