package server

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/health"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/mounts"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/names"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/network"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

const (
	// workDir is where the root is put together, in the initramfs.
	workDir = "/mnt"
	etc     = "/etc"
)

// plan is a checked SetupRequest.
type plan struct {
	root        *mounts.Root // nil: the initramfs stays
	hostname    string
	interfaces  []network.Interface
	nameservers []string
}

// Setup gives the guest its root, name and network. What fails before the new
// root is in place can be tried again.
func (s *Service) Setup(_ context.Context, r *agentv1.SetupRequest) (*agentv1.SetupResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.setupState() {
	case agentv1.SetupState_SETUP_STATE_READY:
		return nil, toStatus(fail.Errorf(fail.Untimely, "the guest is set up already"))
	case agentv1.SetupState_SETUP_STATE_FAILED:
		return nil, toStatus(fail.Errorf(fail.Untimely, "the guest's set-up failed halfway: start another guest"))
	}
	p, err := newPlan(r)
	if err != nil {
		return nil, toStatus(err)
	}
	s.begin()
	if err := s.setUp(p); err != nil {
		return nil, toStatus(err)
	}
	s.setState(agentv1.SetupState_SETUP_STATE_READY)
	return &agentv1.SetupResponse{KernelRelease: health.KernelRelease()}, nil
}

// begin closes s.begun. The caller holds s.mu.
func (s *Service) begin() {
	select {
	case <-s.begun:
	default:
		close(s.begun)
	}
}

// setUp does what can be undone or done again first. If the rest fails the guest
// is of no use.
func (s *Service) setUp(p plan) error {
	if err := errors.Join(mounts.Devices(), names.SetHostname(p.hostname)); err != nil {
		return err
	}
	if err := network.Up(p.interfaces); err != nil {
		return err
	}
	if p.root == nil {
		return finish(p)
	}
	path, err := p.root.Assemble(workDir)
	if err != nil {
		return err
	}
	if s.covered, err = mounts.SwitchRoot(path, workDir); err == nil {
		err = finish(p)
	}
	if err != nil {
		s.setState(agentv1.SetupState_SETUP_STATE_FAILED)
	}
	return err
}

// finish does what is done in the root that stays.
func finish(p plan) error {
	if err := mounts.Standard(); err != nil {
		return err
	}
	// A root that can't be changed can't learn its name, and needn't.
	if err := names.AddHost(etc, p.hostname); err != nil && !errors.Is(err, unix.EROFS) {
		return err
	}
	return names.SetNameservers(etc, p.nameservers)
}

func newPlan(r *agentv1.SetupRequest) (p plan, err error) {
	p.hostname, p.nameservers = r.GetHostname(), r.GetNameservers()
	if err := names.CheckHostname(p.hostname); err != nil {
		return p, err
	}
	if err := names.CheckNameservers(p.nameservers); err != nil {
		return p, err
	}
	if p.interfaces, err = newInterfaces(r.GetInterfaces()); err != nil {
		return p, err
	}
	if r.GetRoot() != nil {
		p.root, err = newRoot(r.GetRoot())
	}
	return p, err
}

func newInterfaces(list []*agentv1.NetworkInterface) (interfaces []network.Interface, err error) {
	for _, i := range list {
		parsed, err := network.Parse(i.GetName(), i.GetAddresses(), i.GetGateways(), i.GetMtu(), i.GetMac())
		if err != nil {
			return nil, err
		}
		parsed.Down = i.GetDown()
		interfaces = append(interfaces, parsed)
	}
	return interfaces, nil
}

func newRoot(r *agentv1.RootFS) (*mounts.Root, error) {
	if r.GetDevice() == "" {
		return nil, fail.Errorf(fail.Invalid, "a root file system without a device")
	}
	root := mounts.Root{Device: r.GetDevice(), FSType: r.GetFsType()}
	switch upper := r.GetUpper().(type) {
	case *agentv1.RootFS_Tmpfs:
		root.Kind, root.Size = mounts.Memory, upper.Tmpfs.GetSizeBytes()
	case *agentv1.RootFS_Disk:
		root.Kind = mounts.Disk
		root.UpperDevice, root.UpperFSType = upper.Disk.GetDevice(), upper.Disk.GetFsType()
	case *agentv1.RootFS_Writable:
		root.Kind = mounts.Writable
	}
	return &root, nil
}
