package worker

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Record implements vmmv1.WorkerService.
func (w *Worker) Record(context.Context, *vmmv1.RecordRequest) (*vmmv1.RecordResponse, error) {
	return nil, status.Error(codes.Unimplemented, "this worker doesn't record")
}
