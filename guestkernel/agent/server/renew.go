package server

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/names"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/network"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/renew"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// takeUpTime is how long the new host has to take up processes' streams.
const takeUpTime = 30 * time.Second

// renewal is a checked RenewRequest.
type renewal struct {
	entropy     []byte
	time        int64 // nanoseconds since 1970
	hostname    string
	machineID   string
	interfaces  []network.Interface
	nameservers []string
}

// Renew makes the guest another than the one it was saved as, and has it go on.
func (s *Service) Renew(_ context.Context, r *agentv1.RenewRequest) (*agentv1.RenewResponse, error) {
	return answer(s, func() (*agentv1.RenewResponse, error) {
		n, err := newRenewal(r)
		if err == nil {
			err = s.renew(n)
		}
		return &agentv1.RenewResponse{}, err
	})
}

// renew can be called again after each of its steps.
func (s *Service) renew(r renewal) error {
	s.still.Lock()
	defer s.still.Unlock()
	if err := r.apply(); err != nil {
		return err
	}
	s.Hub.Renew(takeUpTime)
	if err := s.thawProcesses(); err != nil {
		return err
	}
	s.Table.Open(true)
	s.frozen.Store(false)
	return nil
}

// apply begins with what a program could already ask for.
func (r renewal) apply() error {
	if err := renew.Entropy(r.entropy); err != nil {
		return err
	}
	if err := renew.Time(r.time); err != nil {
		return err
	}
	for _, err := range []error{
		names.ReplaceHost(etc, names.Hostname(), r.hostname), // while the last is known
		names.SetHostname(r.hostname),
		names.SetMachineID(etc, r.machineID),
		names.SetNameservers(etc, r.nameservers),
	} {
		// A root that can't be changed isn't.
		if err != nil && !errors.Is(err, unix.EROFS) {
			return err
		}
	}
	return network.Replace(r.interfaces)
}

func newRenewal(r *agentv1.RenewRequest) (n renewal, err error) {
	n = renewal{
		entropy: r.GetEntropy(), time: r.GetUnixTimeNs(), hostname: r.GetHostname(), machineID: r.GetMachineId(),
		nameservers: r.GetNameservers(),
	}
	for _, err := range []error{
		renew.CheckEntropy(n.entropy), renew.CheckTime(n.time), names.CheckHostname(n.hostname),
		names.CheckMachineID(n.machineID), names.CheckNameservers(n.nameservers),
	} {
		if err != nil {
			return n, err
		}
	}
	n.interfaces, err = newInterfaces(r.GetInterfaces())
	return n, err
}
