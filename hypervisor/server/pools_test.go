package server_test

import (
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// untilReady waits until a pool has so many members that can be claimed.
func (f *fixture) untilReady(pool string, members uint32) {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		r, err := f.Pools.GetPool(f.t.Context(), &bulkheadv1.GetPoolRequest{Name: pool})
		f.must(err)
		if r.GetPool().GetStatus().GetReady() == members {
			return
		}
		if time.Since(began) > time.Minute {
			f.t.Fatalf("pool %v", r.GetPool())
		}
	}
}

func TestPools(t *testing.T) {
	f := serve(t)
	template, _, err := f.Client.Template(t.Context(), &bulkheadv1.CreateTemplateRequest{})
	f.must(err)
	r := &bulkheadv1.CreatePoolRequest{Name: "python", Template: template.GetId(), Size: 1, Labels: map[string]string{"a": "b"}, RequestId: "once"}
	made, err := f.Client.Pool(t.Context(), r)
	f.must(err)
	again, err := f.Client.Pool(t.Context(), r)
	f.must(err)
	if made.GetUid() == "" || again.GetUid() != made.GetUid() || made.GetTemplate() != template.GetId() {
		t.Errorf("%v, and then %v", made, again)
	}
	f.untilReady("python", 1)
	box, warm, err := f.Client.Claim(t.Context(), &bulkheadv1.ClaimSandboxRequest{Pool: "python", Name: "box", MustBeWarm: true})
	f.must(err)
	if o := box.GetStatus().GetOrigin(); !warm || o.GetPool() != "python" || o.GetTemplate() != template.GetId() {
		t.Errorf("warm %v, %v", warm, box)
	}
	if out, _, _ := f.run("box", &bulkheadv1.Command{Args: []string{"cat"}, Stdin: true}, "hi\n"); out != "hi\n" {
		t.Errorf("output %q", out)
	}
	changed, err := f.Pools.UpdatePool(t.Context(), &bulkheadv1.UpdatePoolRequest{Name: "python", Size: proto.Uint32(0)})
	f.must(err)
	list, err := f.Pools.ListPools(t.Context(), &bulkheadv1.ListPoolsRequest{LabelSelector: "a=b"})
	f.must(err)
	if changed.GetPool().GetSize() != 0 || len(list.GetPools()) != 1 || list.GetPools()[0].GetStatus().GetWarmClaims() != 1 {
		t.Errorf("%v, %v", changed, list)
	}
	f.untilReady("python", 0)
	_, _, err = f.Client.Claim(t.Context(), &bulkheadv1.ClaimSandboxRequest{Pool: "python", MustBeWarm: true})
	f.refused(err, codes.Unavailable, "POOL_EMPTY")
	_, warm, err = f.Client.Claim(t.Context(), &bulkheadv1.ClaimSandboxRequest{Pool: "python"})
	if err != nil || warm {
		t.Errorf("%v, %v", warm, err)
	}
	_, err = f.Templates.DeleteTemplate(t.Context(), &bulkheadv1.DeleteTemplateRequest{Id: template.GetId()})
	f.refused(err, codes.FailedPrecondition, "TEMPLATE_IN_USE")
	_, err = f.Pools.DeletePool(t.Context(), &bulkheadv1.DeletePoolRequest{Name: "python", Uid: made.GetUid()})
	f.must(err)
	_, _, err = f.Client.Claim(t.Context(), &bulkheadv1.ClaimSandboxRequest{Pool: "python"})
	f.refused(err, codes.NotFound, "POOL_NOT_FOUND")
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*errdetails.ResourceInfo); ok && (r.GetResourceType() != "pool" || r.GetResourceName() != "python") {
			t.Errorf("resource %v", r)
		}
	}
	_, err = f.Client.Pool(t.Context(), &bulkheadv1.CreatePoolRequest{Name: "../x", Template: template.GetId()})
	f.refused(err, codes.InvalidArgument, "INVALID_REQUEST")
	_, err = f.Client.Pool(t.Context(), &bulkheadv1.CreatePoolRequest{Name: "other", Template: "0123456789ab"})
	f.refused(err, codes.NotFound, "TEMPLATE_NOT_FOUND")
}
