// Package server answers the calls of the host: agent.proto over ttrpc.
package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/health"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/mounts"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/process"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/transfer"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// Service is the agent as the host sees it. Its methods may be called from any
// goroutine.
type Service struct {
	Config

	state   atomic.Int32 // a SetupState, which nobody waits for Setup to read
	mu      sync.Mutex   // held during Setup
	covered *mounts.Covered
	begun   chan struct{} // closed when Setup was called

	still  sync.Mutex // held by whatever freezes and thaws
	frozen atomic.Bool

	offOnce sync.Once
}

// Config is what a Service works with.
type Config struct {
	Hub   *streams.Hub
	Table *process.Table
	Files *transfer.Transfers
	Off   Off
	// Freezer has a hold on whatever Table starts. nil: the guest can't be frozen.
	Freezer Freezer
}

// Freezer has the guest's processes stand still and go on; package freezer. Both may
// be asked for what is so already.
type Freezer interface {
	// Freeze changes nothing if it fails, or ctx ends.
	Freeze(ctx context.Context) error
	Thaw() error
}

var _ agentv1.AgentService = (*Service)(nil)

// Off returns what turns the machine off. It is called once, when everything
// else is done, and what it returns after that; in between a caller is answered
// if there is one.
type Off func(caller bool) func()

// New returns a service for a guest that isn't set up.
func New(c Config) *Service {
	s := &Service{Config: c, begun: make(chan struct{})}
	s.setState(agentv1.SetupState_SETUP_STATE_FRESH)
	return s
}

func (s *Service) setState(to agentv1.SetupState) { s.state.Store(int32(to)) }

func (s *Service) setupState() agentv1.SetupState { return agentv1.SetupState(s.state.Load()) }

// checkReady fails before Setup.
func (s *Service) checkReady() error {
	if s.setupState() != agentv1.SetupState_SETUP_STATE_READY {
		return fail.Errorf(fail.Untimely, "the guest isn't set up: call Setup first")
	}
	return nil
}

// AssumeSetUp is Setup for what isn't a guest: tests run the agent on their own
// host.
func (s *Service) AssumeSetUp() { s.setState(agentv1.SetupState_SETUP_STATE_READY) }

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
		Processes:            uint32(s.Table.Live()),
		Setup:                s.setupState(),
		KernelRelease:        health.KernelRelease(),
		Frozen:               s.frozen.Load(),
	}, nil
}

// duration converts nanoseconds, of which there may be at most limit.
func duration(ns uint64, limit time.Duration) time.Duration {
	return time.Duration(min(ns, uint64(limit)))
}
