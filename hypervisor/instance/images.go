package instance

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Images are the files of the host that a guest comes up from.
type Images struct {
	Kernel, Initrd string
	Root           string // the first disk, read-only
	RootType       string // its file system's, as mount(2) has it
	// Snapshot is the directory of what the guest goes on from, with Root as it was
	// then. Kernel, Initrd and RootType are of no use with it.
	Snapshot string
}

// machine returns the plan's, with its images and a way to the guest's agent.
func (i *Instance) machine(ctx context.Context) (*vmmv1.CreateRequest, error) {
	m, snapshot := proto.CloneOf(i.plan.Machine), ""
	if i.plan.Images != nil {
		images, err := i.plan.Images(ctx)
		if err != nil {
			return nil, err
		}
		m.Kernel, m.Initrd, snapshot = images.Kernel, images.Initrd, images.Snapshot
		m.Disks = append([]*vmmv1.Disk{{Path: images.Root, ReadOnly: true}}, m.Disks...)
	}
	if m.Vsock == nil {
		m.Vsock = &vmmv1.Vsock{}
	}
	m.Vsock.Paths = append(m.Vsock.Paths, &vmmv1.VsockPath{
		Path: i.agent.path, FirstPort: guest.FirstPort, LastPort: guest.LastPort,
	})
	return &vmmv1.CreateRequest{Machine: m, Snapshot: snapshot, Memory: i.plan.Memory}, nil
}

// setup returns what the guest is told of itself.
func (i *Instance) setup(ctx context.Context) (*agentv1.SetupRequest, error) {
	if i.plan.Images == nil {
		return i.plan.Setup, nil
	}
	images, err := i.plan.Images(ctx)
	if err != nil {
		return nil, err
	}
	s := proto.CloneOf(i.plan.Setup)
	s.Root.FsType = images.RootType
	return s, nil
}
