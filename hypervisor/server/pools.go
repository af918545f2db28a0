package server

import (
	"context"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// pools implements bulkheadv1.PoolsServer. Of a pool there is nothing to hide: what
// sandboxes are claimed for is theirs.
type pools struct {
	bulkheadv1.UnimplementedPoolsServer
	node *node.Node
}

// CreatePool implements bulkheadv1.PoolsServer.
func (s *pools) CreatePool(ctx context.Context, r *bulkheadv1.CreatePoolRequest) (*bulkheadv1.CreatePoolResponse, error) {
	made, err := s.node.CreatePool(r, clientName(ctx))
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.CreatePoolResponse{Pool: made}, nil
}

// GetPool implements bulkheadv1.PoolsServer.
func (s *pools) GetPool(_ context.Context, r *bulkheadv1.GetPoolRequest) (*bulkheadv1.GetPoolResponse, error) {
	found, err := s.node.GetPool(r.GetName())
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.GetPoolResponse{Pool: found}, nil
}

// ListPools implements bulkheadv1.PoolsServer.
func (s *pools) ListPools(_ context.Context, r *bulkheadv1.ListPoolsRequest) (*bulkheadv1.ListPoolsResponse, error) {
	page, err := s.node.ListPools(r)
	return page, toStatus(err)
}

// UpdatePool implements bulkheadv1.PoolsServer.
func (s *pools) UpdatePool(ctx context.Context, r *bulkheadv1.UpdatePoolRequest) (*bulkheadv1.UpdatePoolResponse, error) {
	changed, err := s.node.UpdatePool(r, clientName(ctx))
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.UpdatePoolResponse{Pool: changed}, nil
}

// DeletePool implements bulkheadv1.PoolsServer.
func (s *pools) DeletePool(ctx context.Context, r *bulkheadv1.DeletePoolRequest) (*bulkheadv1.DeletePoolResponse, error) {
	if err := s.node.DeletePool(ctx, r.GetName(), r.GetUid()); err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.DeletePoolResponse{}, nil
}

// ClaimSandbox implements bulkheadv1.PoolsServer.
func (s *pools) ClaimSandbox(ctx context.Context, r *bulkheadv1.ClaimSandboxRequest) (*bulkheadv1.ClaimSandboxResponse, error) {
	box, warm, err := s.node.Claim(ctx, r, clientName(ctx))
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.ClaimSandboxResponse{Sandbox: box, Warm: warm}, nil
}
