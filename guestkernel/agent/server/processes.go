package server

import (
	"context"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/process"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/stdio"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// Start starts a process.
func (s *Service) Start(ctx context.Context, r *agentv1.StartRequest) (*agentv1.StartResponse, error) {
	if err := s.checkReady(); err != nil {
		return nil, toStatus(err)
	}
	spec := process.Spec{
		ID: r.GetId(), Args: r.GetArgs(), Env: r.GetEnv(), Dir: r.GetWorkdir(), User: r.GetUser(),
		Stdin: r.GetStdin(), Tied: r.GetTied(),
	}
	if t := r.GetTerminal(); t != nil {
		spec.Terminal = &stdio.Size{Rows: t.GetRows(), Columns: t.GetColumns()}
	}
	pid, err := s.Table.Start(ctx, spec)
	if err != nil {
		return nil, toStatus(err)
	}
	return &agentv1.StartResponse{Pid: int32(pid)}, nil
}

// Wait waits for a process's end.
func (s *Service) Wait(ctx context.Context, r *agentv1.WaitRequest) (*agentv1.WaitResponse, error) {
	st, err := s.Table.Wait(ctx, r.GetId())
	if err != nil {
		return nil, toStatus(err)
	}
	return &agentv1.WaitResponse{
		ExitCode:     int32(st.Code),
		Signal:       int32(st.Signal),
		UserTimeNs:   uint64(st.User),
		SystemTimeNs: uint64(st.System),
		MaxRssBytes:  st.MaxRSS,
	}, nil
}

// Signal sends a signal to a process or its group.
func (s *Service) Signal(_ context.Context, r *agentv1.SignalRequest) (*agentv1.SignalResponse, error) {
	if err := s.Table.Signal(r.GetId(), int(r.GetSignal()), r.GetGroup()); err != nil {
		return nil, toStatus(err)
	}
	return &agentv1.SignalResponse{}, nil
}

// Resize changes the size of a process's terminal.
func (s *Service) Resize(_ context.Context, r *agentv1.ResizeRequest) (*agentv1.ResizeResponse, error) {
	size := stdio.Size{Rows: r.GetSize().GetRows(), Columns: r.GetSize().GetColumns()}
	if err := s.Table.Resize(r.GetId(), size); err != nil {
		return nil, toStatus(err)
	}
	return &agentv1.ResizeResponse{}, nil
}
