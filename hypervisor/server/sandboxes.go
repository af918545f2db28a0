package server

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// maxGrace is how long a command may have from SIGTERM to SIGKILL.
const maxGrace = time.Hour

// sandboxes implements bulkheadv1.SandboxesServer.
type sandboxes struct {
	bulkheadv1.UnimplementedSandboxesServer
	node *node.Node
}

// CreateSandbox implements bulkheadv1.SandboxesServer.
func (s *sandboxes) CreateSandbox(ctx context.Context, r *bulkheadv1.CreateSandboxRequest) (*bulkheadv1.CreateSandboxResponse, error) {
	box, err := s.node.Create(r, clientName(ctx))
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.CreateSandboxResponse{Sandbox: box}, nil
}

// StartSandbox implements bulkheadv1.SandboxesServer.
func (s *sandboxes) StartSandbox(ctx context.Context, r *bulkheadv1.StartSandboxRequest) (*bulkheadv1.StartSandboxResponse, error) {
	box, err := s.node.Start(ctx, r.GetName())
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.StartSandboxResponse{Sandbox: box}, nil
}

// StopSandbox implements bulkheadv1.SandboxesServer.
func (s *sandboxes) StopSandbox(ctx context.Context, r *bulkheadv1.StopSandboxRequest) (*bulkheadv1.StopSandboxResponse, error) {
	if err := fault.InvalidRequest(spec.CheckDuration("grace_period", r.GetGracePeriod(), maxGrace)); err != nil {
		return nil, toStatus(err)
	}
	box, err := s.node.Stop(ctx, r.GetName(), grace(r.GetGracePeriod()))
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.StopSandboxResponse{Sandbox: box}, nil
}

// grace is how long a command has: no time, if a client says so.
func grace(d *durationpb.Duration) time.Duration {
	if d == nil {
		return node.DefaultGrace
	}
	return d.AsDuration()
}

// KillSandbox implements bulkheadv1.SandboxesServer.
func (s *sandboxes) KillSandbox(ctx context.Context, r *bulkheadv1.KillSandboxRequest) (*bulkheadv1.KillSandboxResponse, error) {
	box, err := s.node.Kill(ctx, r.GetName())
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.KillSandboxResponse{Sandbox: box}, nil
}

// DeleteSandbox implements bulkheadv1.SandboxesServer.
func (s *sandboxes) DeleteSandbox(ctx context.Context, r *bulkheadv1.DeleteSandboxRequest) (*bulkheadv1.DeleteSandboxResponse, error) {
	if err := s.node.Delete(ctx, r.GetName(), r.GetUid(), r.GetForce()); err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.DeleteSandboxResponse{}, nil
}

// GetSandbox implements bulkheadv1.SandboxesServer.
func (s *sandboxes) GetSandbox(ctx context.Context, r *bulkheadv1.GetSandboxRequest) (*bulkheadv1.GetSandboxResponse, error) {
	box, err := s.node.Get(r.GetName())
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.GetSandboxResponse{Sandbox: shown(ctx, box)}, nil
}

// ListSandboxes implements bulkheadv1.SandboxesServer.
func (s *sandboxes) ListSandboxes(ctx context.Context, r *bulkheadv1.ListSandboxesRequest) (*bulkheadv1.ListSandboxesResponse, error) {
	page, err := s.node.List(r)
	for i, box := range page.GetSandboxes() {
		page.Sandboxes[i] = shown(ctx, box)
	}
	return page, toStatus(err)
}

// WatchSandboxes implements bulkheadv1.SandboxesServer.
func (s *sandboxes) WatchSandboxes(r *bulkheadv1.WatchSandboxesRequest, stream bulkheadv1.Sandboxes_WatchSandboxesServer) error {
	ctx := stream.Context()
	return toStatus(s.node.Watch(ctx, r, func(m *bulkheadv1.WatchSandboxesResponse) error {
		if m.Sandbox != nil {
			m.Sandbox = shown(ctx, m.Sandbox)
		}
		return stream.Send(m)
	}))
}

// PauseSandbox implements bulkheadv1.SandboxesServer.
func (s *sandboxes) PauseSandbox(ctx context.Context, r *bulkheadv1.PauseSandboxRequest) (*bulkheadv1.PauseSandboxResponse, error) {
	box, err := s.node.Pause(ctx, r.GetName())
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.PauseSandboxResponse{Sandbox: box}, nil
}

// ResumeSandbox implements bulkheadv1.SandboxesServer.
func (s *sandboxes) ResumeSandbox(ctx context.Context, r *bulkheadv1.ResumeSandboxRequest) (*bulkheadv1.ResumeSandboxResponse, error) {
	box, err := s.node.Resume(ctx, r.GetName())
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.ResumeSandboxResponse{Sandbox: box}, nil
}

// GetSandboxStats implements bulkheadv1.SandboxesServer.
func (s *sandboxes) GetSandboxStats(ctx context.Context, r *bulkheadv1.GetSandboxStatsRequest) (*bulkheadv1.GetSandboxStatsResponse, error) {
	stats, err := s.node.Stats(ctx, r.GetName())
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.GetSandboxStatsResponse{Stats: stats}, nil
}

// ForkSandbox implements bulkheadv1.SandboxesServer.
func (s *sandboxes) ForkSandbox(ctx context.Context, r *bulkheadv1.ForkSandboxRequest) (*bulkheadv1.ForkSandboxResponse, error) {
	made, err := s.node.Fork(ctx, r, clientName(ctx))
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.ForkSandboxResponse{Sandboxes: made}, nil
}
