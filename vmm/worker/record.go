package worker

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/vmm/record"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Record implements vmmv1.WorkerService.
func (w *Worker) Record(ctx context.Context, req *vmmv1.RecordRequest) (*vmmv1.RecordResponse, error) {
	if _, err := w.machineControls(); err != nil { // there is none, or it has ended
		return nil, err
	}
	c := record.Config{
		Name: req.GetName(), Log: w.logConfig(req.GetName(), req.GetLog()), Input: req.GetInputSocket(),
	}
	for _, s := range req.GetStreams() {
		socket, err := socketOf(w.sockets, s.GetPort())
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		c.Streams = append(c.Streams, record.Stream{
			Socket: socket, Port: s.GetPort(), Greeting: s.GetGreeting(), Label: s.GetLabel(),
		})
	}
	if err := w.recorders.Record(ctx, c); err != nil {
		return nil, status.Error(recordCode(err), err.Error())
	}
	return &vmmv1.RecordResponse{}, nil
}

// AwaitRecord implements vmmv1.WorkerService.
func (w *Worker) AwaitRecord(ctx context.Context, req *vmmv1.AwaitRecordRequest) (*vmmv1.AwaitRecordResponse, error) {
	if err := w.recorders.Await(ctx, req.GetName()); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	return &vmmv1.AwaitRecordResponse{}, nil
}

// recordCode says who is to do something about an error of record.Set's.
func recordCode(err error) codes.Code {
	for _, known := range []struct {
		err  error
		code codes.Code
	}{
		{record.ErrInvalid, codes.InvalidArgument},
		{record.ErrExists, codes.AlreadyExists},
		{record.ErrTooMany, codes.ResourceExhausted},
		{record.ErrClosed, codes.FailedPrecondition},
		{context.Canceled, codes.Canceled},
		{record.ErrUnreachable, codes.Unavailable},
	} {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	return hostCode(err) // of a file
}

// socketOf returns the path of the socket that leads to a port of the guest.
func socketOf(paths []*vmmv1.VsockPath, port uint32) (string, error) {
	fallback := ""
	for _, p := range paths {
		switch {
		case p.GetFirstPort() == 0 && p.GetLastPort() == 0:
			fallback = p.GetPath()
		case port >= p.GetFirstPort() && port <= p.GetLastPort():
			return p.GetPath(), nil
		}
	}
	if fallback == "" {
		return "", fmt.Errorf("no socket of the machine's vsock leads to port %d", port)
	}
	return fallback, nil
}
