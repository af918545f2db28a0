package node_test

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// TestClaimAgainFromAnotherPool isn't the same claim, though all pools are of one template.
func TestClaimAgainFromAnotherPool(t *testing.T) {
	f := open(t)
	made := f.template(nil)
	f.pool("warm", 1, made)
	f.pool("cold", 0, made)
	f.pool("other", 1, made)
	claim := func(pool, name, id string) error {
		_, _, err := f.Claim(t.Context(), &bulkheadv1.ClaimSandboxRequest{Pool: pool, Name: name, RequestId: id}, "tester")
		return err
	}
	check := func() {
		t.Helper()
		for _, pool := range []string{"warm", "cold"} {
			for _, other := range []string{"other", "none", ""} {
				f.kindIs(claim(other, pool, ""), fault.Exists, fault.ReasonNameTaken)
				f.kindIs(claim(other, "", "id-"+pool), fault.Exists, fault.ReasonRequestIDUsed)
			}
			f.must(claim(pool, pool, ""))
			f.must(claim(pool, "", "id-"+pool))
		}
	}
	for _, pool := range []string{"warm", "cold"} {
		f.must(claim(pool, pool, ""))
		f.must(claim(pool, "", "id-"+pool))
	}
	check()
	f.restart(nil)
	check()
	f.must(f.DeletePool(t.Context(), "warm", ""))
	check()
	// No call that creates a sandbox has made them.
	_, err := f.Create(&bulkheadv1.CreateSandboxRequest{Name: "cold", Spec: &bulkheadv1.SandboxSpec{Template: made.GetId()}}, "tester")
	f.kindIs(err, fault.Exists, fault.ReasonNameTaken)
}

// TestClaimOfAnEarlierNode finds what a node kept that didn't keep of which pool it was.
func TestClaimOfAnEarlierNode(t *testing.T) {
	f := open(t)
	made := f.template(nil)
	f.pool("warm", 1, made)
	f.pool("cold", 0, made)
	for _, pool := range []string{"warm", "cold"} {
		f.claim(pool, pool)
	}
	f.restart(func() {
		for _, name := range []string{"warm", "cold"} {
			f.rewrite(name, func(r *storev1.Record) { r.Claim = nil })
		}
	})
	for _, name := range []string{"warm", "cold"} {
		if _, warm := f.claim(name, name); warm != (name == "warm") {
			t.Errorf("%s: warm is %v", name, warm)
		}
	}
	_, _, err := f.Claim(t.Context(), &bulkheadv1.ClaimSandboxRequest{Pool: "cold", Name: "warm"}, "tester")
	f.kindIs(err, fault.Exists, fault.ReasonNameTaken)
}
