// Package server is the node's gRPC API: it checks requests, turns errors into
// statuses with details, and moves streams. What is done, package node does.
package server

import (
	"context"

	"google.golang.org/grpc"

	"github.com/bulkhead-vm/bulkhead/hypervisor/access"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Register has r serve a node's API.
func Register(r grpc.ServiceRegistrar, n *node.Node) {
	bulkheadv1.RegisterSandboxesServer(r, &sandboxes{node: n})
	bulkheadv1.RegisterProcessesServer(r, &processes{node: n})
	bulkheadv1.RegisterFilesServer(r, &files{node: n})
	bulkheadv1.RegisterPortsServer(r, &ports{node: n})
	bulkheadv1.RegisterNodeServer(r, &nodes{node: n})
}

// clientName returns the name of who calls.
func clientName(ctx context.Context) string { return access.FromContext(ctx).Name }
