// Package server answers the calls of the host: agent.proto over ttrpc.
package server

import (
	"context"
	"sync"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/health"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/mounts"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/process"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/stdio"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// Service is the agent as the host sees it. Its methods may be called from any
// goroutine.
type Service struct {
	table *process.Table
	off   Off

	mu      sync.Mutex // held during Setup
	state   state
	covered *mounts.Covered
	begun   chan struct{} // closed when Setup was called

	offOnce sync.Once
}

// state is how far Setup is.
type state int

const (
	fresh  state = iota // not called, or refused without a trace
	failed              // given up halfway
	ready
)

var _ agentv1.AgentService = (*Service)(nil)

// Off returns what turns the machine off. It is called once, when everything
// else is done, and what it returns after that; in between a caller is answered
// if there is one.
type Off func(caller bool) func()

// New returns a service for a guest that isn't set up.
func New(table *process.Table, off Off) *Service {
	return &Service{table: table, off: off, begun: make(chan struct{})}
}

// Begun is closed when the host has called Setup.
func (s *Service) Begun() <-chan struct{} { return s.begun }

// Health reports how the guest is doing.
func (s *Service) Health(context.Context, *agentv1.HealthRequest) (*agentv1.HealthResponse, error) {
	m, err := health.ReadMemory()
	if err != nil {
		return nil, toStatus(err)
	}
	return &agentv1.HealthResponse{
		UptimeNs:             uint64(health.Uptime()),
		MemoryTotalBytes:     m.Total,
		MemoryAvailableBytes: m.Available,
		Processes:            uint32(s.table.Live()),
	}, nil
}

// Start starts a process.
func (s *Service) Start(ctx context.Context, r *agentv1.StartRequest) (*agentv1.StartResponse, error) {
	s.mu.Lock()
	now := s.state
	s.mu.Unlock()
	if now != ready {
		return nil, toStatus(fail.Errorf(fail.Untimely, "the guest isn't set up: call Setup first"))
	}
	spec := process.Spec{
		ID: r.GetId(), Args: r.GetArgs(), Env: r.GetEnv(), Dir: r.GetWorkdir(), User: r.GetUser(), Stdin: r.GetStdin(),
	}
	if t := r.GetTerminal(); t != nil {
		spec.Terminal = &stdio.Size{Rows: t.GetRows(), Columns: t.GetColumns()}
	}
	pid, err := s.table.Start(ctx, spec)
	if err != nil {
		return nil, toStatus(err)
	}
	return &agentv1.StartResponse{Pid: int32(pid)}, nil
}

// Wait waits for a process's end.
func (s *Service) Wait(ctx context.Context, r *agentv1.WaitRequest) (*agentv1.WaitResponse, error) {
	st, err := s.table.Wait(ctx, r.GetId())
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
	if err := s.table.Signal(r.GetId(), int(r.GetSignal()), r.GetGroup()); err != nil {
		return nil, toStatus(err)
	}
	return &agentv1.SignalResponse{}, nil
}

// Resize changes the size of a process's terminal.
func (s *Service) Resize(_ context.Context, r *agentv1.ResizeRequest) (*agentv1.ResizeResponse, error) {
	size := stdio.Size{Rows: r.GetSize().GetRows(), Columns: r.GetSize().GetColumns()}
	if err := s.table.Resize(r.GetId(), size); err != nil {
		return nil, toStatus(err)
	}
	return &agentv1.ResizeResponse{}, nil
}

// duration converts nanoseconds, of which there may be at most limit.
func duration(ns uint64, limit time.Duration) time.Duration {
	return time.Duration(min(ns, uint64(limit)))
}
