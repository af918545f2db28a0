package server

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/access"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// templates implements bulkheadv1.TemplatesServer.
type templates struct {
	bulkheadv1.UnimplementedTemplatesServer
	node *node.Node
}

// CreateTemplate implements bulkheadv1.TemplatesServer.
func (s *templates) CreateTemplate(ctx context.Context, r *bulkheadv1.CreateTemplateRequest) (*bulkheadv1.CreateTemplateResponse, error) {
	made, existed, err := s.node.CreateTemplate(ctx, r, clientName(ctx))
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.CreateTemplateResponse{Template: made, Existed: existed}, nil
}

// GetTemplate implements bulkheadv1.TemplatesServer.
func (s *templates) GetTemplate(ctx context.Context, r *bulkheadv1.GetTemplateRequest) (*bulkheadv1.GetTemplateResponse, error) {
	found, err := s.node.GetTemplate(r.GetId())
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.GetTemplateResponse{Template: shownTemplate(ctx, found)}, nil
}

// ListTemplates implements bulkheadv1.TemplatesServer.
func (s *templates) ListTemplates(ctx context.Context, r *bulkheadv1.ListTemplatesRequest) (*bulkheadv1.ListTemplatesResponse, error) {
	page, err := s.node.ListTemplates(r)
	for i, found := range page.GetTemplates() {
		page.Templates[i] = shownTemplate(ctx, found)
	}
	return page, toStatus(err)
}

// DeleteTemplate implements bulkheadv1.TemplatesServer.
func (s *templates) DeleteTemplate(_ context.Context, r *bulkheadv1.DeleteTemplateRequest) (*bulkheadv1.DeleteTemplateResponse, error) {
	if _, err := s.node.DeleteTemplate(r.GetId()); err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.DeleteTemplateResponse{}, nil
}

// shownTemplate is shown for templates.
func shownTemplate(ctx context.Context, t *bulkheadv1.Template) *bulkheadv1.Template {
	if access.FromContext(ctx).Role != access.ReadOnly || len(t.GetPrepare().GetEnv()) == 0 {
		return t
	}
	t = proto.CloneOf(t)
	hideValuesOf(t.GetPrepare())
	return t
}
