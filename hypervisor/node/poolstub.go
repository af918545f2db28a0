package node

// This file holds the place of pools until they are merged, and is deleted then.

import (
	"context"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

var errNoPools = fault.New(fault.Unimplemented, fault.ReasonInternal, "", "this node has no pools")

// CreatePool keeps a pool for a client.
func (n *Node) CreatePool(r *bulkheadv1.CreatePoolRequest, client string) (*bulkheadv1.Pool, error) {
	return nil, errNoPools
}

// GetPool returns the pool with a name.
func (n *Node) GetPool(name string) (*bulkheadv1.Pool, error) { return nil, errNoPools }

// ListPools returns a page of the pools that are asked for.
func (n *Node) ListPools(r *bulkheadv1.ListPoolsRequest) (*bulkheadv1.ListPoolsResponse, error) {
	return nil, errNoPools
}

// UpdatePool changes a pool for a client.
func (n *Node) UpdatePool(r *bulkheadv1.UpdatePoolRequest, client string) (*bulkheadv1.Pool, error) {
	return nil, errNoPools
}

// DeletePool removes a pool and its members.
func (n *Node) DeletePool(ctx context.Context, name, uid string) error { return errNoPools }

// Claim makes a sandbox of a member of a pool.
func (n *Node) Claim(ctx context.Context, r *bulkheadv1.ClaimSandboxRequest, client string) (box *bulkheadv1.Sandbox, warm bool, err error) {
	return nil, false, errNoPools
}
