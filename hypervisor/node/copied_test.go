package node_test

import (
	"fmt"
	"testing"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// TestForkAndCreate with request IDs of which one looks like what comes of another.
func TestForkAndCreate(t *testing.T) {
	f := open(t)
	f.start("box", nil, "sleep", "1000")
	mine, err := f.Create(&bulkheadv1.CreateSandboxRequest{RequestId: "fork/r/0"}, "tester")
	f.must(err)
	ask := &bulkheadv1.ForkSandboxRequest{Name: "box", Count: 2, RequestId: "r"}
	copies, err := f.Fork(t.Context(), ask, "tester")
	f.must(err)
	longer, err := f.Fork(t.Context(), &bulkheadv1.ForkSandboxRequest{Name: "box", RequestId: "r/1"}, "tester")
	f.must(err)
	for _, id := range []string{"fork/r/0", "fork/r/1", "fork/r/1/0"} {
		box, err := f.Create(&bulkheadv1.CreateSandboxRequest{RequestId: id}, "tester")
		f.must(err)
		if id == "fork/r/0" && box.GetUid() != mine.GetUid() {
			t.Errorf("%s made %q and then %q", id, mine.GetName(), box.GetName())
		}
		for _, c := range append(copies, longer...) {
			if box.GetUid() == c.GetUid() {
				t.Errorf("a copy is what %s made", id)
			}
		}
	}
	again, err := f.Fork(t.Context(), ask, "tester")
	f.must(err)
	if len(again) != 2 || again[0].GetUid() != copies[0].GetUid() || again[1].GetUid() != copies[1].GetUid() {
		t.Errorf("%v and then %v", copies, again)
	}
	alike := &bulkheadv1.CreateSandboxRequest{Name: copies[0].GetName(), Spec: copies[0].GetSpec()}
	_, err = f.Create(alike, "tester")
	f.kindIs(err, fault.Exists, fault.ReasonNameTaken)
}

// TestForkOfAnOlderDaemon is found by a repetition, also if it has to be told from a
// sandbox that was created with such an ID.
func TestForkOfAnOlderDaemon(t *testing.T) {
	f := open(t)
	f.start("box", nil, "sleep", "1000")
	ask := &bulkheadv1.ForkSandboxRequest{Name: "box", Names: []string{"a", "b"}, RequestId: "x/y"}
	copies, err := f.Fork(t.Context(), ask, "tester")
	f.must(err)
	mine, err := f.Create(&bulkheadv1.CreateSandboxRequest{RequestId: "fork/x/y/1"}, "tester")
	f.must(err)
	f.must(f.Close())
	for i, c := range copies {
		f.rewrite(c.GetName(), func(r *storev1.Record) {
			r.ForkRequest, r.RequestId = nil, fmt.Sprintf("fork/x/y/%d", i)
		})
	}
	f.reopen()
	for _, c := range copies {
		f.settled(c.GetName())
	}
	again, err := f.Fork(t.Context(), ask, "tester")
	f.must(err)
	box, err := f.Create(&bulkheadv1.CreateSandboxRequest{RequestId: "fork/x/y/1"}, "tester")
	f.must(err)
	if len(again) != 2 || again[0].GetUid() != copies[0].GetUid() || again[1].GetUid() != copies[1].GetUid() || box.GetUid() != mine.GetUid() {
		t.Errorf("%v and then %v; created %v and then %v", copies, again, mine, box)
	}
}
