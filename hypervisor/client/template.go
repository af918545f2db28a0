package client

import (
	"context"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Template makes a template, or returns one that does and existed. As Create, it asks a
// second time where the connection was lost, which makes no second template.
func (c *Client) Template(ctx context.Context, r *bulkheadv1.CreateTemplateRequest) (t *bulkheadv1.Template, existed bool, err error) {
	answer, err := twice(ctx, c.Templates.CreateTemplate, identified(r))
	return answer.GetTemplate(), answer.GetExisted(), err
}
