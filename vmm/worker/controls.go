package worker

import (
	"context"
	"os"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/devices/ratelimit"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/balloon"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/net"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// controls is what can be changed of a machine's devices while it runs. It
// doesn't change itself once the machine is made.
type controls struct {
	limits  map[string]*ratelimit.Limiter // by the names of SetRateLimitRequest
	balloon *balloon.Device               // nil: none
	disks   []attachedDisk
	nets    []*net.Device
}

type attachedDisk struct {
	backend diskBackend
	device  *blk.Device
	image   os.FileInfo // of the file at the disk's path, when it was opened
}

// limit makes the limiter of the device called name.
func (c *controls) limit(name string, l *vmmv1.RateLimit) *ratelimit.Limiter {
	c.limits[name] = ratelimit.New(limitConfig(l))
	return c.limits[name]
}

func limitConfig(l *vmmv1.RateLimit) ratelimit.Config {
	return ratelimit.Config{
		Bytes:      ratelimit.Rate{PerSecond: l.GetBytesPerSecond(), Burst: l.GetBytesBurst()},
		Operations: ratelimit.Rate{PerSecond: l.GetOperationsPerSecond(), Burst: l.GetOperationsBurst()},
	}
}

// SetRateLimit implements vmmv1.WorkerService.
func (w *Worker) SetRateLimit(_ context.Context, req *vmmv1.SetRateLimitRequest) (*vmmv1.SetRateLimitResponse, error) {
	c, err := w.machineControls()
	if err != nil {
		return nil, err
	}
	l := c.limits[req.GetDevice()]
	if l == nil {
		return nil, status.Errorf(codes.NotFound, "the machine has no device %q whose rate could be limited", req.GetDevice())
	}
	l.Set(limitConfig(req.GetLimit()))
	return &vmmv1.SetRateLimitResponse{}, nil
}

// SetBalloon implements vmmv1.WorkerService.
func (w *Worker) SetBalloon(_ context.Context, req *vmmv1.SetBalloonRequest) (*vmmv1.SetBalloonResponse, error) {
	c, err := w.machineControls()
	if err != nil {
		return nil, err
	}
	if c.balloon == nil {
		return nil, status.Error(codes.FailedPrecondition, "the machine has no balloon: set balloon in its configuration")
	}
	c.balloon.SetTarget(req.GetBytes())
	return &vmmv1.SetBalloonResponse{}, nil
}

// RefreshDisk implements vmmv1.WorkerService.
func (w *Worker) RefreshDisk(_ context.Context, req *vmmv1.RefreshDiskRequest) (*vmmv1.RefreshDiskResponse, error) {
	c, err := w.machineControls()
	if err != nil {
		return nil, err
	}
	if int64(req.GetDisk()) >= int64(len(c.disks)) {
		return nil, status.Errorf(codes.NotFound, "the machine has no disk %d: there are %d", req.GetDisk(), len(c.disks))
	}
	d := c.disks[req.GetDisk()]
	image, ok := d.backend.(interface{ Refresh() error })
	if !ok {
		return nil, status.Error(codes.FailedPrecondition, "a disk with an overlay can't change its size")
	}
	if err := image.Refresh(); err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	d.device.Resized()
	return &vmmv1.RefreshDiskResponse{}, nil
}

// ConnectNetworks implements vmmv1.WorkerService.
func (w *Worker) ConnectNetworks(context.Context, *vmmv1.ConnectNetworksRequest) (*vmmv1.ConnectNetworksResponse, error) {
	c, err := w.machineControls()
	if err != nil {
		return nil, err
	}
	for _, n := range c.nets {
		n.Release()
	}
	w.touched.begin(w)
	return &vmmv1.ConnectNetworksResponse{}, nil
}

// machineControls returns what can be changed of the machine, if there is one.
func (w *Worker) machineControls() (*controls, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.machine == nil {
		return nil, status.Error(codes.FailedPrecondition, "this worker has no machine yet")
	}
	if w.buried {
		return nil, status.Error(codes.FailedPrecondition, "the machine has ended")
	}
	return w.controls, nil
}
