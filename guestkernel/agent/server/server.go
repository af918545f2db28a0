// Package server answers the calls of the host, which agent.proto describes.
package server

import (
	"context"
	"sync"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/api"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/health"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/mounts"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/process"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/stdio"
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
func (s *Service) Health(context.Context, *api.HealthRequest) (r api.HealthResponse, err error) {
	m, err := health.ReadMemory()
	if err != nil {
		return r, err
	}
	return api.HealthResponse{
		UptimeNs:             uint64(health.Uptime()),
		MemoryTotalBytes:     m.Total,
		MemoryAvailableBytes: m.Available,
		Processes:            uint32(s.table.Live()),
	}, nil
}

// Start starts a process.
func (s *Service) Start(ctx context.Context, r *api.StartRequest) (api.StartResponse, error) {
	s.mu.Lock()
	now := s.state
	s.mu.Unlock()
	if now != ready {
		return api.StartResponse{}, fail.Errorf(fail.Untimely, "the guest isn't set up: call Setup first")
	}
	spec := process.Spec{ID: r.ID, Args: r.Args, Env: r.Env, Dir: r.Workdir, User: r.User, Stdin: r.Stdin}
	if r.Terminal != nil {
		spec.Terminal = &stdio.Size{Rows: r.Terminal.Rows, Columns: r.Terminal.Columns}
	}
	pid, err := s.table.Start(ctx, spec)
	return api.StartResponse{PID: int32(pid)}, err
}

// Wait waits for a process's end.
func (s *Service) Wait(ctx context.Context, r *api.WaitRequest) (api.WaitResponse, error) {
	st, err := s.table.Wait(ctx, r.ID)
	return api.WaitResponse{
		ExitCode:     int32(st.Code),
		Signal:       int32(st.Signal),
		UserTimeNs:   uint64(st.User),
		SystemTimeNs: uint64(st.System),
		MaxRSSBytes:  st.MaxRSS,
	}, err
}

// Signal sends a signal to a process or its group.
func (s *Service) Signal(_ context.Context, r *api.SignalRequest) (api.Empty, error) {
	return api.Empty{}, s.table.Signal(r.ID, int(r.Signal), r.Group)
}

// Resize changes the size of a process's terminal.
func (s *Service) Resize(_ context.Context, r *api.ResizeRequest) (api.Empty, error) {
	return api.Empty{}, s.table.Resize(r.ID, stdio.Size{Rows: r.Size.Rows, Columns: r.Size.Columns})
}

// duration converts nanoseconds, of which there may be at most limit.
func duration(ns uint64, limit time.Duration) time.Duration {
	return time.Duration(min(ns, uint64(limit)))
}
