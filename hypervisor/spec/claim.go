package spec

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// CheckClaim returns what is wrong with the request for a sandbox of a pool, which goes
// on from the pool's template: also of what a machine can't be given that runs already.
func CheckClaim(r *bulkheadv1.ClaimSandboxRequest, p Policy) []fault.Violation {
	c := &checker{policy: p}
	c.name("name", r.GetName())
	c.requestID(r.GetRequestId())
	s := r.GetSpec()
	if s.GetTemplate() != "" {
		c.wrong("spec.template", "it is the pool's: leave it out")
	}
	if s.GetSnapshot() != "" {
		c.wrong("spec.snapshot", "the sandbox goes on from the pool's template: leave it out")
	}
	if s.GetVsockPath() != "" {
		c.wrong("spec.vsock_path", "a pool's machines have none: leave it out, or create a sandbox of the template")
	}
	if s.GetMemory() != nil {
		c.wrong("spec.memory", "a pool's machines have theirs already: leave it out, or create a sandbox of the template")
	}
	if len(c.violations) == 0 {
		c.spec(s)
	}
	return c.violations
}

// CheckPooled returns what is wrong with the specification s of a sandbox that is to be a
// member of a pool whose members are of the specification from: what their machines have
// can't be another for it. Its addresses and name servers can.
func CheckPooled(s, from *bulkheadv1.SandboxSpec) []fault.Violation {
	c := new(checker)
	for i, d := range s.GetDisks() {
		if i < len(from.GetDisks()) && !proto.Equal(d, from.GetDisks()[i]) {
			c.wrong(fmt.Sprintf("spec.disks[%d]", i), "it isn't as the template has it: leave disks out")
		}
	}
	for i, n := range s.GetNetworks() {
		n = proto.CloneOf(n)
		n.Addresses, n.Gateways = nil, nil
		if i < len(from.GetNetworks()) && !proto.Equal(n, from.GetNetworks()[i]) {
			c.wrong(fmt.Sprintf("spec.networks[%d]", i), "beside addresses and gateways it isn't as the template has it: give those with the template's bridge only, or leave networks out")
		}
	}
	return c.violations
}
