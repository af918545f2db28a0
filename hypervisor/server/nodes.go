package server

import (
	"context"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// nodes implements bulkheadv1.NodeServer.
type nodes struct {
	bulkheadv1.UnimplementedNodeServer
	node *node.Node
}

// GetNodeInfo implements bulkheadv1.NodeServer.
func (s *nodes) GetNodeInfo(context.Context, *bulkheadv1.GetNodeInfoRequest) (*bulkheadv1.GetNodeInfoResponse, error) {
	info, err := s.node.Info()
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.GetNodeInfoResponse{Info: info}, nil
}

// Drain implements bulkheadv1.NodeServer.
func (s *nodes) Drain(ctx context.Context, r *bulkheadv1.DrainRequest) (*bulkheadv1.DrainResponse, error) {
	violations := spec.CheckDuration("grace_period", r.GetGracePeriod(), maxGrace)
	if _, ok := bulkheadv1.DrainMode_name[int32(r.GetMode())]; !ok {
		violations = append(violations, fault.Violation{Field: "mode", Description: "there is no such mode"})
	}
	if err := fault.InvalidRequest(violations); err != nil {
		return nil, toStatus(err)
	}
	stopped, err := s.node.Drain(ctx, r.GetMode() == bulkheadv1.DrainMode_DRAIN_MODE_STOP, grace(r.GetGracePeriod()))
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.DrainResponse{Stopped: uint32(stopped)}, nil
}

// Undrain implements bulkheadv1.NodeServer.
func (s *nodes) Undrain(context.Context, *bulkheadv1.UndrainRequest) (*bulkheadv1.UndrainResponse, error) {
	return &bulkheadv1.UndrainResponse{}, toStatus(s.node.Undrain())
}
