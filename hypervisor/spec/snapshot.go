package spec

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/labels"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// CheckSnapshot returns what is wrong with the request for a snapshot.
func CheckSnapshot(r *bulkheadv1.CreateSnapshotRequest) []fault.Violation {
	c := new(checker)
	c.name("name", r.GetName())
	c.requestID(r.GetRequestId())
	if err := labels.Check(r.GetLabels()); err != nil {
		c.wrong("labels", "%v", err)
	}
	return c.violations
}

// maxForks is how many copies one call makes.
const maxForks = 64

// CheckFork returns what is wrong with the request for copies of a sandbox, and how
// many there are to be.
func CheckFork(r *bulkheadv1.ForkSandboxRequest, p Policy) (count int, wrong []fault.Violation) {
	c := &checker{policy: p}
	count = max(int(r.GetCount()), len(r.GetNames()), 1)
	switch {
	case r.GetCount() > maxForks || len(r.GetNames()) > maxForks:
		c.wrong("count", "%d, %d is the most", max(int(r.GetCount()), len(r.GetNames())), maxForks)
		return 0, c.violations
	case r.GetCount() != 0 && len(r.GetNames()) != 0 && int(r.GetCount()) != len(r.GetNames()):
		c.wrong("count", "%d, and %d names: give one of them", r.GetCount(), len(r.GetNames()))
	}
	seen := map[string]bool{}
	for i, name := range r.GetNames() {
		field := fmt.Sprintf("names[%d]", i)
		if c.name(field, name); name == "" || seen[name] {
			c.wrong(field, "it is empty, or given twice")
		}
		seen[name] = true
	}
	c.requestID(r.GetRequestId())
	c.spec(r.GetSpec())
	c.goesOn(r.GetSpec())
	if r.GetSpec().GetSnapshot() != "" {
		c.wrong("spec.snapshot", "a fork is of a running sandbox: create a sandbox from the snapshot")
	}
	if r.GetSpec().GetTemplate() != "" {
		c.wrong("spec.template", "a copy starts later as the sandbox itself does: leave it out")
	}
	if count > 1 {
		c.several(r.GetSpec())
	}
	return count, c.violations
}

// several looks for what only one of several sandboxes can have.
func (c *checker) several(s *bulkheadv1.SandboxSpec) {
	for i, n := range s.GetNetworks() {
		if n.GetTap() != "" || n.GetMac() != "" || len(n.GetAddresses()) > 0 {
			c.wrong(fmt.Sprintf("spec.networks[%d]", i), "only one of several copies can have a tap, a MAC or an IP address: give a bridge")
		}
	}
	for i, d := range s.GetDisks() {
		if d.GetOverlayPath() != "" || !d.GetReadOnly() && !d.GetOverlay() {
			c.wrong(fmt.Sprintf("spec.disks[%d]", i), "only one of several copies can write there: give overlay")
		}
	}
	if s.GetVsockPath() != "" {
		c.wrong("spec.vsock_path", "only one of several copies can have a socket there")
	}
}

// name checks one that may be left out.
func (c *checker) name(field, name string) {
	if name == "" {
		return
	}
	if err := supervise.CheckName(name); err != nil {
		c.wrong(field, "%v", err)
	}
}

func (c *checker) requestID(id string) {
	if n := len(id); n > 64 {
		c.wrong("request_id", "%d bytes, 64 is the most", n)
	}
}
