package node_test

import (
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestFloodsOfWords: a request may be 4 MiB long, what is said of it may not.
func TestFloodsOfWords(t *testing.T) {
	f := open(t)
	_, err := f.Get(strings.Repeat("x", 1<<20))
	f.kindIs(err, fault.NotFound, fault.ReasonNoSandbox)
	if n := len(err.Error()); n > 200 {
		t.Errorf("that there is no sandbox is said in %d bytes", n)
	}
	for what, r := range map[string]*bulkheadv1.ListSandboxesRequest{
		"states":   {States: make([]bulkheadv1.SandboxState, 17)},
		"selector": {LabelSelector: strings.Repeat(",", 1<<20)},
	} {
		_, err := f.List(r)
		f.kindIs(err, fault.Invalid, fault.ReasonInvalid)
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("%s: %d bytes", what, len(err.Error()))
		}
	}
}
