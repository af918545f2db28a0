// Package worker serves one machine over its control protocol: the inside of
// the bulkhead-vmm process.
package worker

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/vmm/machine"
	"github.com/bulkhead-vm/bulkhead/vmm/memory"
	"github.com/bulkhead-vm/bulkhead/vmm/record"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"
	"github.com/bulkhead-vm/bulkhead/vmm/timeline"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Config describes a worker.
type Config struct {
	// Console takes the guest's console output. nil: nobody reads it.
	Console io.Writer
	// Log takes events, such as a driver that broke a device's protocol.
	Log *slog.Logger
	// Timeline has what happened before the worker was made. It must not be
	// nil.
	Timeline *timeline.Timeline
}

// Worker implements vmmv1.WorkerService. Its methods may be called from any
// goroutine.
type Worker struct {
	config   Config
	console  *console
	shutdown chan struct{} // closed to end the process

	lifecycle lifecycle
	recorders record.Set
	touched   workingSet
	// base has what pages of the machine's memory are that aren't its own; nil: nobody
	// knows. It is for who has the lifecycle's turn. first is what it was at first, and
	// the machine's to close.
	base, first *snapshot.Snapshot
	save        *save // under way, of one call or between two; likewise

	creating sync.Mutex // held by Create; no other lock is held when it is taken

	mu       sync.Mutex // the rest
	machine  *machine.Machine
	controls *controls // the machine's
	// configuration is what Create was asked for, which doesn't change.
	configuration *vmmv1.MachineConfig
	sockets       []*vmmv1.VsockPath // likewise
	buried        bool               // the machine gave back what it held
	closing       sync.Once
	ended         chan struct{}       // closed once the machine is gone and end is set
	end           *vmmv1.WaitResponse // set before ended is closed
	reports       atomic.Int64
}

// New returns a worker without a machine.
func New(c Config) *Worker {
	return &Worker{
		config:   c,
		console:  newConsole(c.Console),
		shutdown: make(chan struct{}),
		ended:    make(chan struct{}),
	}
}

// Done is closed when the process is to end.
func (w *Worker) Done() <-chan struct{} { return w.shutdown }

// maxReports bounds what a guest can have written to the host's log.
const maxReports = 64

// report logs the evidence against a guest's driver.
func (w *Worker) report(device string, err error) {
	switch n := w.reports.Add(1); {
	case n <= maxReports:
		w.config.Log.Warn("device needs a reset", "device", device, "evidence", err)
	case n == maxReports+1:
		w.config.Log.Warn("more devices need resets: no more of it here")
	}
}

// warn logs that the host has too little of something for a device.
func (w *Worker) warn(device string, err error) {
	w.config.Log.Warn("device is short of something", "device", device, "error", err)
}

// current returns the machine, if there is one.
func (w *Worker) current() (*machine.Machine, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.machine == nil {
		return nil, status.Error(codes.FailedPrecondition, "this worker has no machine yet")
	}
	return w.machine, nil
}

// Stop implements vmmv1.WorkerService.
func (w *Worker) Stop(context.Context, *vmmv1.StopRequest) (*vmmv1.StopResponse, error) {
	m, err := w.current()
	if err != nil {
		return nil, err
	}
	m.Stop()
	return &vmmv1.StopResponse{}, nil
}

// Wait implements vmmv1.WorkerService.
func (w *Worker) Wait(ctx context.Context, _ *vmmv1.WaitRequest) (*vmmv1.WaitResponse, error) {
	if _, err := w.current(); err != nil {
		return nil, err
	}
	select {
	case <-w.ended:
		return w.end, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// Shutdown implements vmmv1.WorkerService.
func (w *Worker) Shutdown(context.Context, *vmmv1.ShutdownRequest) (*vmmv1.ShutdownResponse, error) {
	w.Close()
	return &vmmv1.ShutdownResponse{}, nil
}

// Close ends the machine, waits until all it held was given back, and lets the
// process end.
func (w *Worker) Close() {
	if m, err := w.current(); err == nil {
		m.Stop()
		<-w.ended
	}
	w.closing.Do(func() { close(w.shutdown) })
}

// Stats implements vmmv1.WorkerService.
func (w *Worker) Stats(context.Context, *vmmv1.StatsRequest) (*vmmv1.StatsResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &vmmv1.StatsResponse{}
	for _, step := range w.config.Timeline.Steps() {
		s.Steps = append(s.Steps, &vmmv1.Step{Name: step.Name, AtNs: uint64(step.At)})
	}
	if w.machine != nil {
		s.Devices = deviceStats(w.machine)
	}
	var mem *memory.Memory
	if w.machine != nil && !w.buried {
		mem = w.machine.Memory()
		if b := w.controls.balloon; b != nil {
			s.BalloonBytes, s.GuestMemory = b.Actual(), guestMemory(b)
		}
	}
	if err := addUsage(s, mem); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return s, nil
}
