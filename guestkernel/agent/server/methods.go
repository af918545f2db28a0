package server

import (
	"context"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/rpc"
)

// RPC returns a server of s's calls.
func (s *Service) RPC() *rpc.Server {
	return &rpc.Server{
		Service: "bulkhead.agent.v1.Agent",
		Methods: map[string]rpc.Method{
			"Setup":    method(s.Setup),
			"Health":   method(s.Health),
			"Start":    method(s.Start),
			"Wait":     method(s.Wait),
			"Signal":   method(s.Signal),
			"Resize":   method(s.Resize),
			"PowerOff": method(s.PowerOff),
		},
	}
}

// method reads the request of a call and writes its response.
func method[Request any, Pointer interface {
	*Request
	Unmarshal([]byte) error
}, Response interface{ Marshal() []byte }](do func(context.Context, *Request) (Response, error)) rpc.Method {
	return func(ctx context.Context, payload []byte) ([]byte, *rpc.Status) {
		var r Request
		if err := Pointer(&r).Unmarshal(payload); err != nil {
			return nil, &rpc.Status{Code: rpc.InvalidArgument, Message: err.Error()}
		}
		response, err := do(ctx, &r)
		if err != nil {
			return nil, statusOf(err)
		}
		return response.Marshal(), nil
	}
}
