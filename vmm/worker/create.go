package worker

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/vmm/hostprofile"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/machine"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Create implements vmmv1.WorkerService.
func (w *Worker) Create(_ context.Context, req *vmmv1.CreateRequest) (*vmmv1.CreateResponse, error) {
	w.creating.Lock()
	defer w.creating.Unlock()
	if _, err := w.current(); err == nil {
		return nil, status.Error(codes.AlreadyExists, "this worker has its machine")
	}
	w.config.Timeline.Mark("configuration received")
	bare := make(chan bareMachine, 1) // made beside what takes longer
	go func() { bare <- makeBare() }()
	p, log, err := w.openParts(req)
	b := <-bare
	switch {
	case b.err != nil:
		return nil, status.Error(codes.FailedPrecondition, errors.Join(b.err, p.resources.Close(), log.Close()).Error())
	case err != nil:
		return nil, refuse(err, append(p.resources, b))
	}
	w.prefetch(p.snapshot, p.machine.RAM, req.GetMemory())
	c := p.machine
	c.Profile = hostprofile.Detect()
	c.Console = w.console
	c.Report = w.report
	c.Timeline = w.config.Timeline
	m, err := machine.NewFrom(b.Bare, c)
	if err != nil {
		return nil, refuse(err, append(p.resources, log))
	}
	log.record(w.console)
	w.adopt(m, p, req.GetMachine())
	go w.bury(m, p.resources, log)
	if req.GetStart() {
		w.start(m)
	}
	// Beside the answer, and the guest: who is called waits for neither.
	go tuneRuntime(max(c.CPUs, 1), c.Profile.TimerSlack, w.config.Log)
	return &vmmv1.CreateResponse{HostProfile: c.Profile.String()}, nil
}

// bareMachine is one, or why there is none.
type bareMachine struct {
	*machine.Bare
	err error
}

func makeBare() bareMachine {
	sys, err := kvm.Open("")
	if err != nil {
		return bareMachine{err: err}
	}
	defer sys.Close()
	b, err := machine.NewBare(sys)
	return bareMachine{b, err}
}

// openParts opens what a machine is made of. The caller closes that, also if err isn't
// nil.
func (w *Worker) openParts(req *vmmv1.CreateRequest) (p *parts, log consoleLog, err error) {
	if p, err = open(req, w.warn); err == nil {
		log, err = w.openConsoleLog(req.GetMachine())
	}
	return p, log, err
}

// adopt makes m the worker's machine, which was made of p and of a configuration.
func (w *Worker) adopt(m *machine.Machine, p *parts, c *vmmv1.MachineConfig) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.machine, w.controls, w.sockets = m, &p.controls, c.GetVsock().GetPaths()
	w.configuration = c
	if ram := p.machine.RAM; ram != nil && ram.CanRebase() {
		w.base, w.first = p.snapshot, p.snapshot
	}
}

// refuse frees what was opened and says whether the configuration is to blame
// or the host, whose disk may be full.
func refuse(err error, res resources) error {
	code := codes.InvalidArgument
	if errno := unix.Errno(0); errors.As(err, &errno) {
		code = hostCode(errno)
	}
	return status.Error(code, errors.Join(err, res.Close()).Error())
}

// hostCode says what is to be done about an error of the host's.
func hostCode(err error) codes.Code {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return codes.ResourceExhausted
	}
	return codes.FailedPrecondition
}

// bury waits for the machine's end and gives back what it held.
func (w *Worker) bury(m *machine.Machine, res resources, log consoleLog) {
	end := m.End()
	w.mu.Lock()
	w.buried = true // nobody looks at its memory any more
	w.mu.Unlock()
	w.lifecycle.settle()    // a snapshot that is under way gives up
	w.dropSave(m, errEnded) // as does one that waits to be gone on with
	w.recorders.Refuse()
	w.touched.settle()
	w.recorders.Settle() // while its devices pass on what they hold
	err := m.Close()
	w.recorders.Close() // now that they have let go of the streams
	w.setBase(nil)
	if err := errors.Join(err, res.Close(), w.console.Close(), log.Close()); err != nil {
		w.config.Log.Error("give back the machine's resources", "error", err)
	}
	w.end = report(end, w.console.Tail())
	close(w.ended)
}
