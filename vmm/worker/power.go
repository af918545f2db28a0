package worker

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// PressPowerButton implements vmmv1.WorkerService.
func (w *Worker) PressPowerButton(context.Context, *vmmv1.PressPowerButtonRequest) (*vmmv1.PressPowerButtonResponse, error) {
	if _, err := w.machineControls(); err != nil { // it has ended
		return nil, err
	}
	m, err := w.current()
	if err != nil {
		return nil, err
	}
	if err := m.PressPowerButton(); err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	return &vmmv1.PressPowerButtonResponse{}, nil
}
