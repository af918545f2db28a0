package server

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/api"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/health"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/mounts"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/names"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/network"
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
func (s *Service) Setup(_ context.Context, r *api.SetupRequest) (api.SetupResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case ready:
		return api.SetupResponse{}, fail.Errorf(fail.Untimely, "the guest is set up already")
	case failed:
		return api.SetupResponse{}, fail.Errorf(fail.Untimely, "the guest's set-up failed halfway: start another guest")
	}
	p, err := newPlan(r)
	if err != nil {
		return api.SetupResponse{}, err
	}
	s.begin()
	if err := s.setUp(p); err != nil {
		return api.SetupResponse{}, err
	}
	s.state = ready
	return api.SetupResponse{KernelRelease: health.KernelRelease()}, nil
}

// begin closes s.begun. The caller holds s.mu.
func (s *Service) begin() {
	select {
	case <-s.begun:
	default:
		close(s.begun)
	}
}

// setUp does what can be undone or done again first.
func (s *Service) setUp(p plan) error {
	if err := errors.Join(mounts.Devices(), names.SetHostname(p.hostname)); err != nil {
		return err
	}
	if err := network.Up(p.interfaces); err != nil {
		return err
	}
	if p.root != nil {
		path, err := p.root.Assemble(workDir)
		if err != nil {
			return err
		}
		s.state = failed // until all of the rest is done
		if s.covered, err = mounts.SwitchRoot(path, workDir); err != nil {
			return err
		}
	}
	if err := mounts.Standard(); err != nil {
		return err
	}
	// A root that can't be changed can't learn its name, and needn't.
	if err := names.AddHost(etc, p.hostname); err != nil && !errors.Is(err, unix.EROFS) {
		return err
	}
	return names.SetNameservers(etc, p.nameservers)
}

func newPlan(r *api.SetupRequest) (p plan, err error) {
	p.hostname, p.nameservers = r.Hostname, r.Nameservers
	if err := names.CheckHostname(p.hostname); err != nil {
		return p, err
	}
	if err := names.CheckNameservers(p.nameservers); err != nil {
		return p, err
	}
	for _, i := range r.Interfaces {
		parsed, err := network.Parse(i.Name, i.Addresses, i.Gateways, i.MTU)
		if err != nil {
			return p, err
		}
		p.interfaces = append(p.interfaces, parsed)
	}
	if r.Root != nil {
		p.root, err = newRoot(r.Root)
	}
	return p, err
}

func newRoot(r *api.RootFS) (*mounts.Root, error) {
	if r.Device == "" {
		return nil, fail.Errorf(fail.Invalid, "a root file system without a device")
	}
	root := mounts.Root{Device: r.Device, FSType: r.FSType}
	switch {
	case r.Tmpfs != nil:
		root.Kind, root.Size = mounts.Memory, r.Tmpfs.SizeBytes
	case r.Disk != nil:
		root.Kind = mounts.Disk
		root.UpperDevice, root.UpperFSType = r.Disk.Device, r.Disk.FSType
	case r.Writable:
		root.Kind = mounts.Writable
	}
	return &root, nil
}
