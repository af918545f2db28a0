package node

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Use returns a running sandbox's instance for a client to do something with that
// doesn't change the sandbox's state, such as running a command. The caller calls
// end when it has done so: until then the sandbox isn't idle. It fails of one that a
// template is made of: what is done there would be in every sandbox that begins as it.
func (n *Node) Use(name string) (i *instance.Instance, end func(), err error) {
	s, err := n.find(name)
	if err == nil && s.making {
		err = fault.New(fault.Precondition, fault.ReasonState, name, "a template is made of sandbox %q, which others may begin as: nobody else may use it", name)
	}
	if err != nil {
		return nil, nil, err
	}
	return s.hold()
}

// hold is Use of s.
func (s *sandbox) hold() (i *instance.Instance, end func(), err error) {
	name := s.name
	i, state := s.usable.Load(), s.seen.Load().GetStatus().GetState()
	if i == nil || state != bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING {
		remedy := "start it first"
		switch state {
		case bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED:
			remedy = "resume it first"
		case bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING:
			return nil, nil, &fault.Error{Kind: fault.Unavailable, Reason: fault.ReasonState, Subject: name,
				Message: fmt.Sprintf("sandbox %q is being found again, or has just ended: try again", name), RetryAfter: time.Second}
		}
		return nil, nil, fault.New(fault.Precondition, fault.ReasonState, name, "sandbox %q is %s: %s", name, stateText(state), remedy)
	}
	return i, s.usage.begin(), nil
}

// Stats returns what a sandbox that runs, or is paused, has used.
func (n *Node) Stats(ctx context.Context, name string) (*bulkheadv1.SandboxStats, error) {
	s, err := n.find(name)
	if err != nil {
		return nil, err
	}
	i := s.usable.Load()
	if i == nil {
		state := s.seen.Load().GetStatus().GetState()
		return nil, fault.New(fault.Precondition, fault.ReasonState, name, "sandbox %q is %s: it uses nothing", name, stateText(state))
	}
	r, err := i.Stats(ctx)
	if err != nil {
		return nil, err
	}
	return statsOf(r), nil
}

func statsOf(r *vmmv1.StatsResponse) *bulkheadv1.SandboxStats {
	s := &bulkheadv1.SandboxStats{
		Time:                timestamppb.Now(),
		UserTime:            durationpb.New(time.Duration(r.GetUserTimeNs())),
		SystemTime:          durationpb.New(time.Duration(r.GetSystemTimeNs())),
		MemoryBytes:         r.GetGuestMemoryBytes(),
		OverheadBytes:       r.GetOverheadMemoryBytes(),
		GuestTotalBytes:     r.GetGuestMemory().GetTotalBytes(),
		GuestAvailableBytes: r.GetGuestMemory().GetAvailableBytes(),
		BalloonBytes:        r.GetBalloonBytes(),
	}
	for _, d := range r.GetDevices() {
		s.Devices = append(s.Devices, &bulkheadv1.DeviceStats{
			Name: d.GetName(), Requests: d.GetRequests(),
			TransmittedBytes: d.GetFromGuestBytes(), ReceivedBytes: d.GetToGuestBytes(), Breaches: d.GetBreaches(),
		})
	}
	return s
}

// Logs returns the paths of the logs of a sandbox's command and console.
func (n *Node) Logs(name string) (output, console string, err error) {
	s, err := n.find(name)
	if err != nil {
		return "", "", err
	}
	return filepath.Join(n.kept(s.host), outputName), filepath.Join(n.kept(s.host), consoleName), nil
}

// UntilOver waits until a sandbox has stopped for good, or is deleted.
func (n *Node) UntilOver(ctx context.Context, name string) error {
	_, err := n.command(ctx, name, func(*sandbox) error { return nil }, func(s *sandbox) (bool, error) {
		return s.deleted || s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STOPPED, bulkheadv1.SandboxState_SANDBOX_STATE_DELETING), nil
	})
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	return err
}
