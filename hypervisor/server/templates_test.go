package server_test

import (
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

func TestTemplates(t *testing.T) {
	f := serve(t)
	made, existed, err := f.Client.Template(t.Context(), &bulkheadv1.CreateTemplateRequest{Labels: map[string]string{"a": "b"}})
	f.must(err)
	again, stood, err := f.Client.Template(t.Context(), &bulkheadv1.CreateTemplateRequest{})
	f.must(err)
	if existed || !stood || again.GetId() != made.GetId() {
		t.Errorf("%v, %v; and then %v, %v", made, existed, again, stood)
	}
	f.start("box", nil)
	box, err := f.GetSandbox(t.Context(), &bulkheadv1.GetSandboxRequest{Name: "box"})
	f.must(err)
	if o := box.GetSandbox().GetStatus().GetOrigin(); o.GetTemplate() != made.GetId() {
		t.Errorf("origin %v", o)
	}
	if out, _, _ := f.run("box", &bulkheadv1.Command{Args: []string{"cat"}, Stdin: true}, "hi\n"); out != "hi\n" {
		t.Errorf("output %q", out)
	}
	list, err := f.Templates.ListTemplates(t.Context(), &bulkheadv1.ListTemplatesRequest{LabelSelector: "a=b"})
	f.must(err)
	got, err := f.Templates.GetTemplate(t.Context(), &bulkheadv1.GetTemplateRequest{Id: made.GetId()})
	f.must(err)
	if len(list.GetTemplates()) != 1 || got.GetTemplate().GetId() != made.GetId() {
		t.Errorf("%v, %v", list, got)
	}
	_, err = f.Templates.DeleteTemplate(t.Context(), &bulkheadv1.DeleteTemplateRequest{Id: made.GetId()})
	f.must(err)
	_, err = f.Templates.GetTemplate(t.Context(), &bulkheadv1.GetTemplateRequest{Id: made.GetId()})
	f.refused(err, codes.NotFound, "TEMPLATE_NOT_FOUND")
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*errdetails.ResourceInfo); ok && (r.GetResourceType() != "template" || r.GetResourceName() != made.GetId()) {
			t.Errorf("resource %v", r)
		}
	}
	_, err = f.Templates.CreateTemplate(t.Context(), &bulkheadv1.CreateTemplateRequest{Spec: &bulkheadv1.SandboxSpec{Template: "none"}})
	f.refused(err, codes.InvalidArgument, "INVALID_REQUEST")
	_, err = f.Templates.CreateTemplate(t.Context(), &bulkheadv1.CreateTemplateRequest{Prepare: &bulkheadv1.Command{Args: []string{"false"}}})
	f.refused(err, codes.Aborted, "TEMPLATE_FAILED")
}
