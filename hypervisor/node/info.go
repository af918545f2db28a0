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
	total, given := n.share(host)
	info := &bulkheadv1.NodeInfo{
		Name: n.config.Name, Version: n.config.Version,
		HostKernelRelease: kernelRelease(),
		Capacity:          resources(host), Allocatable: total, Allocated: given,
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

// Share returns what sandboxes may be given, what they were given, and whether
// that is to become less. Unlike Info it waits for nothing.
func (n *Node) Share() (allocatable, allocated *bulkheadv1.Resources, draining bool, err error) {
	host, err := capacity.Host()
	if err != nil {
		return nil, nil, false, err
	}
	allocatable, allocated = n.share(host)
	return allocatable, allocated, n.draining.Load(), nil
}

func (n *Node) share(host capacity.Resources) (allocatable, allocated *bulkheadv1.Resources) {
	total, given := n.ledger.Totals()
	if n.limits.Load().Capacity == nil {
		total = host
	}
	return resources(total), resources(given)
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
