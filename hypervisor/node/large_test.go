package node_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestLargeSandboxes lists sandboxes whose commands are as long as they may be: they
// come in pages that fit into messages.
func TestLargeSandboxes(t *testing.T) {
	f := open(t)
	const many = 40
	for i := range many {
		f.create(fmt.Sprintf("box%02d", i), nil, "echo", strings.Repeat("x", 120_000))
	}
	var names []string
	for r := new(bulkheadv1.ListSandboxesRequest); ; {
		page, err := f.List(r)
		f.must(err)
		if size := proto.Size(page); size > 2<<20 {
			t.Errorf("a page has %d bytes", size)
		}
		for _, box := range page.GetSandboxes() {
			names = append(names, box.GetName())
		}
		if r.PageToken = page.GetNextPageToken(); r.PageToken == "" {
			break
		}
	}
	if len(names) != many || names[0] != "box00" || names[many-1] != "box39" {
		t.Errorf("the pages have %v", names)
	}
}
