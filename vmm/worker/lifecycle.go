package worker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/vmm/machine"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// lifecycle is how far a machine has come between its making and its end.
type lifecycle struct {
	// turns has Start, Pause and Resume come one after the other, so that what
	// the rest says is so. No other lock is taken under it.
	turns           sync.Mutex
	started, paused atomic.Bool
	// save ends the saving that has its turn, if one has.
	save atomic.Pointer[context.CancelCauseFunc]
}

// errCalledOff ends a saving for which there is no use any more.
var errCalledOff = errors.New("the snapshot was called off")

// saving has cancel be called, until over is, when ctx or the machine ends or the
// saving is called off. It is for who has the turn to save.
func (l *lifecycle) saving(ctx context.Context, ended <-chan struct{}, cancel context.CancelCauseFunc) (over func()) {
	l.save.Store(&cancel)
	// ctx ends with its call right after over, which the next call mustn't suffer for.
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	done := make(chan struct{})
	go func() {
		select {
		case <-ended:
			cancel(errEnded)
		case <-done:
		}
	}()
	return func() {
		stop()
		l.save.Store(nil)
		close(done)
	}
}

// callOff has a saving that has its turn give up.
func (l *lifecycle) callOff() {
	if cancel := l.save.Load(); cancel != nil {
		(*cancel)(errCalledOff)
	}
}

// state says how far m is, nil if there is none yet.
func (l *lifecycle) state(m *machine.Machine) vmmv1.MachineState {
	if m == nil {
		return vmmv1.MachineState_MACHINE_STATE_NONE
	}
	select {
	case <-m.Done():
		return vmmv1.MachineState_MACHINE_STATE_ENDED
	default:
	}
	switch {
	case l.paused.Load():
		return vmmv1.MachineState_MACHINE_STATE_PAUSED
	case l.started.Load():
		return vmmv1.MachineState_MACHINE_STATE_RUNNING
	}
	return vmmv1.MachineState_MACHINE_STATE_CREATED
}

// settle waits until whoever has the turn is done. Those that come later find that
// the machine has ended.
func (l *lifecycle) settle() {
	l.turns.Lock()
	defer l.turns.Unlock()
}

// Start implements vmmv1.WorkerService.
func (w *Worker) Start(context.Context, *vmmv1.StartRequest) (*vmmv1.StartResponse, error) {
	m, err := w.current()
	if err != nil {
		return nil, err
	}
	w.start(m)
	return &vmmv1.StartResponse{}, nil
}

func (w *Worker) start(m *machine.Machine) {
	w.lifecycle.turns.Lock()
	defer w.lifecycle.turns.Unlock()
	m.Start()
	w.lifecycle.started.Store(true)
}

// Pause implements vmmv1.WorkerService.
func (w *Worker) Pause(context.Context, *vmmv1.PauseRequest) (*vmmv1.PauseResponse, error) {
	m, err := w.current()
	if err != nil {
		return nil, err
	}
	w.lifecycle.turns.Lock()
	defer w.lifecycle.turns.Unlock()
	if !w.lifecycle.started.Load() { // nothing there could come to rest
		return nil, status.Error(codes.FailedPrecondition, "the machine hasn't been started")
	}
	m.Pause()
	w.lifecycle.paused.Store(true)
	return &vmmv1.PauseResponse{}, nil
}

// Resume implements vmmv1.WorkerService.
func (w *Worker) Resume(context.Context, *vmmv1.ResumeRequest) (*vmmv1.ResumeResponse, error) {
	m, err := w.current()
	if err != nil {
		return nil, err
	}
	w.lifecycle.callOff()
	w.lifecycle.turns.Lock()
	defer w.lifecycle.turns.Unlock()
	w.dropSave(m, errCalledOff) // who would go on with it is gone
	w.lifecycle.paused.Store(false)
	m.Resume()
	return &vmmv1.ResumeResponse{}, nil
}
