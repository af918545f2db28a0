// Package rpc is a server of ttrpc's unary calls (PROTOCOL.md of
// github.com/containerd/ttrpc), without streams. A message is a header of ten
// bytes, with length, stream, type and flags, and a Request or Response.
package rpc

import (
	"context"
	"fmt"
	"net"
)

// Code is a gRPC status code.
type Code uint32

// The codes that calls fail with.
const (
	Canceled           Code = 1
	InvalidArgument    Code = 3
	DeadlineExceeded   Code = 4
	NotFound           Code = 5
	AlreadyExists      Code = 6
	PermissionDenied   Code = 7
	ResourceExhausted  Code = 8
	FailedPrecondition Code = 9
	Unimplemented      Code = 12
	Internal           Code = 13
)

// Status is why a call failed.
type Status struct {
	Code    Code
	Message string
}

func (s *Status) Error() string { return s.Message }

// Method answers a call: the payload of its request with that of the
// response. ctx ends with the connection and with the caller's deadline.
type Method func(ctx context.Context, payload []byte) ([]byte, *Status)

// Server serves one service.
type Server struct {
	Service string
	Methods map[string]Method
}

// Serve answers on every connection of l, until Accept fails.
func (s *Server) Serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return fmt.Errorf("serve calls: %w", err)
		}
		go s.serve(c)
	}
}

func (s *Server) serve(nc net.Conn) {
	c := &conn{Conn: nc}
	defer c.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	last := uint32(0)
	for {
		stream, kind, body, err := c.read()
		if err != nil {
			return
		}
		switch {
		case kind != typeRequest: // of streams, which there are none of
		case body == nil:
			c.respond(stream, nil, &Status{ResourceExhausted, fmt.Sprintf("a message may have %d bytes at most", maxMessage)})
		case stream%2 != 1 || stream <= last:
			c.respond(stream, nil, &Status{InvalidArgument, "stream IDs must be odd and ascend"})
		default:
			last = stream
			go func() {
				payload, status := s.call(ctx, body)
				c.respond(stream, payload, status)
			}()
		}
	}
}

func (s *Server) call(ctx context.Context, body []byte) ([]byte, *Status) {
	var r request
	if err := r.unmarshal(body); err != nil {
		return nil, &Status{InvalidArgument, err.Error()}
	}
	method := s.Methods[r.method]
	if r.service != s.Service || method == nil {
		return nil, &Status{Unimplemented, fmt.Sprintf("no method %q of a service %q here", r.method, r.service)}
	}
	if r.timeout != 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.timeout)
		defer cancel()
	}
	return method(ctx, r.payload)
}
