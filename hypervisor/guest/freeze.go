package guest

import (
	"context"
	"time"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// Times that an agent may take. Freeze gives its own steps less, and says which of
// them took too long.
const (
	freezeTime = time.Minute
	thawTime   = 20 * time.Second
	renewTime  = 5 * time.Minute // many at once have to share a processor
)

// Freeze has the guest's processes stand still, for a snapshot. When it fails without
// an answer of the agent's, they may do so all the same: Thaw undoes that.
func (a *Agent) Freeze(ctx context.Context, r *agentv1.FreezeRequest) (*agentv1.FreezeResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, freezeTime)
	defer cancel()
	return a.AgentService.Freeze(ctx, r)
}

// Thaw has them go on in the machine that was frozen.
func (a *Agent) Thaw(ctx context.Context, r *agentv1.ThawRequest) (*agentv1.ThawResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, thawTime)
	defer cancel()
	return a.AgentService.Thaw(ctx, r)
}

// Renew makes a machine that was restored another than the one that was saved, and
// has its processes go on. It may be called again after any failure.
func (a *Agent) Renew(ctx context.Context, r *agentv1.RenewRequest) (*agentv1.RenewResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	return a.AgentService.Renew(ctx, r)
}
