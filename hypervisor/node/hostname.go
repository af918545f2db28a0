package node

import (
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// hostName is what a sandbox's worker, bundle, cgroup, directory and share of the node
// are called by, and its taps are for: its own name, or that of the pool's member that
// it was. Its guest, clients and what is kept of its snapshots know it by its own.
func hostName(r *storev1.Record) string {
	if name := r.GetHostName(); name != "" {
		return name
	}
	return r.GetSandbox().GetName()
}
