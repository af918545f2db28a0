package server

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/mounts"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/power"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// PowerOff ends all processes, leaves the disks clean and turns the machine
// off, the last when the answer is on its way.
func (s *Service) PowerOff(_ context.Context, r *agentv1.PowerOffRequest) (*agentv1.PowerOffResponse, error) {
	first, err := s.shutDown(duration(r.GetGraceNs(), power.MaxGrace), true)
	if !first {
		err = fail.Errorf(fail.Untimely, "the guest is being turned off")
	}
	if err != nil {
		return nil, toStatus(err)
	}
	return &agentv1.PowerOffResponse{}, nil
}

// ShutDown is PowerOff for an order that came from within the guest.
func (s *Service) ShutDown(grace time.Duration) { s.shutDown(grace, false) }

// cutTime is how long transfers may take to end that were cut.
const cutTime = 2 * time.Second

func (s *Service) endTransfers() {
	ctx, cancel := context.WithTimeout(context.Background(), cutTime)
	defer cancel()
	_ = s.Files.Close(ctx) // the disks will show it
}

// shutDown does everything but the last step, which it leaves to s.Off, and
// reports whether it was the first call and whether the disks are clean.
func (s *Service) shutDown(grace time.Duration, caller bool) (first bool, err error) {
	s.offOnce.Do(func() {
		first = true
		_ = s.thaw() // who stands still doesn't end by himself
		power.EndAll(s.Table, grace)
		s.endTransfers()
		s.mu.Lock()
		covered := s.covered
		s.mu.Unlock()
		if err = mounts.Quiesce(covered); err != nil {
			fmt.Fprintln(os.Stderr, "bulkhead-agent: turn off:", err)
		}
		go s.Off(caller)()
	})
	return first, err
}
