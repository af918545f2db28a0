package worker

import (
	"context"
	"os"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/vmm/procstat"
	"github.com/bulkhead-vm/bulkhead/vmm/version"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Describe implements vmmv1.WorkerService.
func (w *Worker) Describe(context.Context, *vmmv1.DescribeRequest) (*vmmv1.DescribeResponse, error) {
	pid := os.Getpid()
	ticks, err := procstat.StartTicks(pid)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	w.mu.Lock()
	m := w.machine
	w.mu.Unlock()
	return &vmmv1.DescribeResponse{
		Version: version.Text(), Pid: int32(pid), StartTicks: ticks, Machine: w.lifecycle.state(m),
	}, nil
}
