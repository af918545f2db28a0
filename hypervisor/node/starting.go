package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// begin has the sandbox start: it is STARTING when that is kept. restart says
// that the node does it by itself.
func (s *sandbox) begin(restart bool) error {
	before := s.record.GetSandbox().GetStatus()
	s.record.Sandbox.Status = &bulkheadv1.SandboxStatus{
		State: bulkheadv1.SandboxState_SANDBOX_STATE_STARTING, StartTime: timestamppb.Now(), Exit: before.GetExit(), Origin: withTemplate(before.GetOrigin(), nil),
	}
	s.record.Stopping = 0
	message := "starting"
	if restart {
		s.status().Restarts = before.GetRestarts() + 1
		message = fmt.Sprintf("starting again, restart %d", s.status().Restarts)
	}
	template := s.record.GetTemplate()
	s.record.Template = ""
	if err := s.keepIf(message); err != nil {
		s.record.Sandbox.Status, s.record.Template = before, template
		return err
	}
	s.failure, s.boots = nil, false
	s.launch()
	return nil
}

// launch is the work of STARTING, with nothing of an earlier run left. What it goes on
// from is settled first.
func (s *sandbox) launch() {
	timings := new(instance.Timings)
	timings.Mark("start")
	if s.boots || !s.node.mayFit(s.record) {
		s.settleOn(nil, timings)
		return
	}
	record := cloneRecord(s.record)
	s.start(func(ctx context.Context) func() {
		t, err := s.node.chooseTemplate(ctx, record)
		err = s.duringStart(ctx, err)
		return func() {
			if err != nil {
				s.started(nil, "", err)
				return
			}
			s.settleOn(t, timings)
		}
	})
}

// run is the work of STARTING when that is settled.
func (s *sandbox) run(timings *instance.Timings) {
	record := cloneRecord(s.record)
	var w *work
	kept := func(id supervise.Identity) {
		s.post(func() {
			if s.work == w && s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STARTING) { // or it has ended, or runs
				s.record.Worker = worker(id)
				s.keep("worker started")
			}
		})
	}
	w = s.start(func(ctx context.Context) func() {
		i, leave, err := s.launchOne(ctx, record, timings, kept)
		if err != nil {
			err = s.duringStart(ctx, err) // now: ctx ends with the work
			return func() { s.started(nil, "", err) }
		}
		defer leave()
		return s.boot(ctx, i)
	})
}

// launchOne brings a worker up when it is the sandbox's turn, and tells begun of it.
// The caller ends the turn with leave.
func (s *sandbox) launchOne(ctx context.Context, r *storev1.Record, t *instance.Timings, begun func(supervise.Identity)) (i *instance.Instance, leave func(), err error) {
	plan, err := s.prepare(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	t.Mark("images ready")
	enter := s.node.gate.enter
	if s.pool != "" {
		enter = s.node.gate.enterLast
	}
	if leave, err = enter(ctx); err != nil {
		return nil, nil, err
	}
	t.Mark("turn came")
	if i, err = instance.Launch(s.node.host(r), plan, t); err != nil {
		leave()
		return nil, nil, err
	}
	begun(i.Worker()) // kept soon, and not waited for: the bundle has it, too
	return i, leave, nil
}

// prepare has all there that a run takes but the worker.
func (s *sandbox) prepare(ctx context.Context, r *storev1.Record) (p instance.Plan, err error) {
	if s.node.leftovers(r) { // of a run that couldn't be removed when it ended, or was lost
		if err := s.node.removeRun(r); err != nil {
			return p, fmt.Errorf("clear away an earlier run: %w", err)
		}
	}
	if err := s.node.checkPaths(r); err != nil {
		return p, err
	}
	if err := s.node.makeRoom(r); err != nil {
		return p, err
	}
	p = s.node.describe(r)
	if _, err := p.Images(ctx); err != nil {
		return p, err
	}
	if p.Identity != nil {
		return p, s.node.freshDisks(r)
	}
	return p, nil
}

// checkPaths fails if the sandbox's files aren't what this node serves any more.
func (n *Node) checkPaths(r *storev1.Record) error {
	err := fault.InvalidRequest(spec.CheckPaths(r.GetSandbox().GetSpec(), n.limits.Load().Spec))
	if err != nil {
		return fmt.Errorf("the sandbox's files have changed since it was created: %s", err)
	}
	return nil
}

// makeRoom makes what a run needs of the host beside a worker.
func (n *Node) makeRoom(r *storev1.Record) error {
	s := r.GetSandbox()
	if err := os.MkdirAll(n.kept(hostName(r)), 0o700); err != nil {
		return fmt.Errorf("directory of the sandbox: %w", err)
	}
	for i, network := range s.GetSpec().GetNetworks() {
		tap := r.GetLinks()[i].GetOwnTap()
		if tap == "" {
			continue
		}
		if n.config.Taps == nil {
			return errors.New("this node makes no taps: make one and name it in place of the bridge")
		}
		if err := n.config.Taps.Add(tap, hostName(r), network.GetBridge(), int(s.GetSpec().GetCpus()), network.GetMtu()); err != nil {
			return err
		}
	}
	return nil
}

// host returns where a sandbox's instances run.
func (n *Node) host(r *storev1.Record) instance.Host {
	h := instance.Host{RuntimeDir: n.config.RuntimeDir, Worker: supervise.Options{Path: n.config.WorkerPath, Tied: n.config.Tied}}
	if n.config.Cgroups != nil {
		name, s := hostName(r), r.GetSandbox().GetSpec()
		h.Worker.Contain = func(pid int) error {
			return n.config.Cgroups.Add(name, pid, needs(s).Memory+cgroupSlack, int(s.GetCpus()))
		}
	}
	return h
}

// cgroupSlack is what a sandbox's processes may take beyond what is counted for
// them: the host's page cache of their disks is given back when need be.
const cgroupSlack = 64 << 20

// boot is the second half of a start, also of one that somebody else began.
func (s *sandbox) boot(ctx context.Context, i *instance.Instance) func() {
	release, err := i.Boot(ctx)
	if err == nil && s.pool != "" {
		err = i.Pause(ctx)
	}
	if err != nil {
		err = s.duringStart(ctx, err)
		if errors.Is(err, errNodeClosing) && !s.node.config.Tied {
			err = errors.Join(err, i.Detach())
		} else {
			err = errors.Join(err, i.Close())
		}
		return func() { s.started(nil, "", err) }
	}
	return func() { s.started(i, release, nil) }
}

// duringStart returns why a start failed: that it was called off comes first.
func (s *sandbox) duringStart(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// started is how a start ended.
func (s *sandbox) started(i *instance.Instance, release string, err error) {
	switch {
	case errors.Is(err, errNodeClosing):
		return // the next one goes on
	case s.startsCold(err), s.bootsInstead(err):
		return
	case err != nil:
		s.failure = err
		s.finish(startExit(s.record, err))
		return
	}
	s.instance, s.frozen = i, false
	s.countClaim()
	if s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING) { // it was told to stop too late to be called off
		s.stop()
		return
	}
	s.record.Worker = worker(i.Worker())
	status := s.status()
	status.ReadyTime, status.KernelRelease = timestamppb.Now(), release
	status.Phases = phases(i.Timings)
	if s.pool != "" {
		s.standReady()
		return
	}
	status.State = bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING
	s.node.observeStart(status)
	s.use() // first: whoever sees that it runs may use it at once
	s.keep("running")
}

// use lets calls at the instance.
func (s *sandbox) use() {
	s.instance.Watch()
	if s.spec().GetCommand() != nil {
		s.instance.Follow()
	}
	s.usage.rest()
	s.usable.Store(s.instance)
}

func phases(t *instance.Timings) (all []*bulkheadv1.StartPhase) {
	for _, step := range t.Steps() {
		all = append(all, &bulkheadv1.StartPhase{Name: step.Name, After: durationpb.New(step.After)})
	}
	return all
}

// startExit is the exit of a run that didn't come up.
func startExit(r *storev1.Record, err error) *bulkheadv1.SandboxExit {
	exit := &bulkheadv1.SandboxExit{
		Reason: bulkheadv1.ExitReason_EXIT_REASON_START_FAILED, ExitCode: exitFailure, Message: err.Error(), Time: timestamppb.Now(),
	}
	var ended *instance.EndedError
	switch {
	case r.GetStopping() != 0:
		exit.Reason, exit.ExitCode, exit.Message = r.GetStopping(), exitKilled, ""
	case errors.As(err, &ended):
		exit.ConsoleTail = ended.GetConsoleTail()
		if reason := endReason(ended.End); reason != bulkheadv1.ExitReason_EXIT_REASON_UNSPECIFIED {
			exit.Reason = reason
		}
	case errors.Is(err, guest.ErrNotFound):
		exit.ExitCode = exitNotFound
	case errors.Is(err, guest.ErrNotExecutable):
		exit.ExitCode = exitNotExecutable
	}
	return exit
}

func worker(id supervise.Identity) *storev1.Worker {
	return &storev1.Worker{Pid: int32(id.PID), StartTicks: id.StartTicks, BootId: id.BootID}
}

func identity(w *storev1.Worker) supervise.Identity {
	return supervise.Identity{PID: int(w.GetPid()), StartTicks: w.GetStartTicks(), BootID: w.GetBootId()}
}

// post has the sandbox's goroutine call do, without waiting for that.
func (s *sandbox) post(do func()) {
	go func() {
		select {
		case s.calls <- do:
		case <-s.gone:
		}
	}()
}

// since is how long ago a time was, or 0 if there is none.
func since(t *timestamppb.Timestamp) time.Duration {
	if t == nil {
		return 0
	}
	return time.Since(t.AsTime())
}
