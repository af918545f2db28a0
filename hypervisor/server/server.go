// Package server is the node's gRPC API: it checks requests, turns errors into
// statuses with details, and moves streams. What is done, package node does.
package server

import (
	"context"

	"google.golang.org/grpc"

	"github.com/bulkhead-vm/bulkhead/hypervisor/access"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/vmm/logfile"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// maxWatches is how many of those who follow logs hear of lines at once, the others
// within a moment.
const maxWatches = 8

// Register has r serve a node's API.
func Register(r grpc.ServiceRegistrar, n *node.Node) {
	bulkheadv1.RegisterSandboxesServer(r, &sandboxes{node: n})
	bulkheadv1.RegisterProcessesServer(r, &processes{node: n, watches: logfile.NewWatches(maxWatches)})
	bulkheadv1.RegisterFilesServer(r, &files{node: n})
	bulkheadv1.RegisterPortsServer(r, &ports{node: n})
	bulkheadv1.RegisterSnapshotsServer(r, &snapshots{node: n})
	bulkheadv1.RegisterTemplatesServer(r, &templates{node: n})
	bulkheadv1.RegisterPoolsServer(r, &pools{node: n})
	bulkheadv1.RegisterNodeServer(r, &nodes{node: n})
}

// clientName returns the name of who calls.
func clientName(ctx context.Context) string { return access.FromContext(ctx).Name }
