package server

import (
	"context"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/access"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// hidden is what a client gets in place of what it may not see.
const hidden = "***"

// shown returns a sandbox as who calls may see it: clients that may only look don't
// see the values of its command's environment, where programs have their secrets.
func shown(ctx context.Context, s *bulkheadv1.Sandbox) *bulkheadv1.Sandbox {
	if access.FromContext(ctx).Role != access.ReadOnly {
		return s
	}
	return withoutValues(s)
}

// withoutValues is s, which isn't changed, without them.
func withoutValues(s *bulkheadv1.Sandbox) *bulkheadv1.Sandbox {
	if len(s.GetSpec().GetCommand().GetEnv()) == 0 {
		return s
	}
	s = proto.CloneOf(s)
	hideValues(s.GetSpec())
	return s
}

// hideValues takes them out of a specification.
func hideValues(s *bulkheadv1.SandboxSpec) { hideValuesOf(s.GetCommand()) }

func hideValuesOf(c *bulkheadv1.Command) {
	env := c.GetEnv()
	for i, variable := range env {
		name, _, _ := strings.Cut(variable, "=")
		env[i] = name + "=" + hidden
	}
}
