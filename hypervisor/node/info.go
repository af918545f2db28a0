package node

import (
	"bytes"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/capacity"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Info returns what schedulers and operators want to know of the node.
func (n *Node) Info() (*bulkheadv1.NodeInfo, error) {
	host, err := capacity.Host()
	if err != nil {
		return nil, err
	}
	total, given := n.ledger.Totals()
	if n.limits.Load().Capacity == nil {
		total = host
	}
	info := &bulkheadv1.NodeInfo{
		Name: n.config.Name, Version: n.config.Version,
		HostKernelRelease: kernelRelease(),
		Capacity:          resources(host), Allocatable: resources(total), Allocated: resources(given),
		Sandboxes: uint32(n.count(func(*bulkheadv1.Sandbox) bool { return true })), Running: uint32(n.count(runs)),
		Draining: n.draining.Load(), StartTime: timestamppb.New(n.started),
		ResourceVersion: n.config.Store.Version(),
	}
	for _, c := range n.recentChecks() {
		switch {
		case c.Required && !c.OK:
			info.Problems = append(info.Problems, c.problem())
		case c.Name == checkKVMName:
			info.HostProfile = c.Detail
		}
	}
	return info, nil
}

// checkTime is how long checks are good for: one starts a process.
const checkTime = 10 * time.Second

// recentChecks is Check, or what it said lately.
func (n *Node) recentChecks() []Check {
	n.checking.Lock()
	defer n.checking.Unlock()
	if time.Since(n.checked) > checkTime {
		n.checks, n.checked = n.Check(), time.Now()
	}
	return n.checks
}

func resources(r capacity.Resources) *bulkheadv1.Resources {
	return &bulkheadv1.Resources{Cpus: r.CPUs, MemoryBytes: r.Memory}
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return string(u.Release[:bytes.IndexByte(u.Release[:], 0)])
}
