package server

import (
	"context"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"
	"github.com/bulkhead-vm/bulkhead/vmm/logfile"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// processes implements bulkheadv1.ProcessesServer.
type processes struct {
	bulkheadv1.UnimplementedProcessesServer
	node    *node.Node
	watches *logfile.Watches
}

// maxInput is how much input a message may carry.
const maxInput = 64 << 10

// checkSignal says what is wrong with a signal.
func checkSignal(n int32) error {
	if n < 1 || n > 64 {
		return fault.InvalidField("signal", "signals are 1 to 64")
	}
	return nil
}

func checkSize(field string, size *bulkheadv1.TerminalSize) error {
	return fault.InvalidRequest(spec.CheckTerminal(field, size))
}

func sizeOf(size *bulkheadv1.TerminalSize) guest.Size {
	return guest.Size{Rows: size.GetRows(), Columns: size.GetColumns()}
}

// SignalProcess implements bulkheadv1.ProcessesServer.
func (s *processes) SignalProcess(ctx context.Context, r *bulkheadv1.SignalProcessRequest) (*bulkheadv1.SignalProcessResponse, error) {
	err := checkSignal(r.GetSignal())
	if err == nil {
		err = s.with(ctx, r.GetSandbox(), func(ctx context.Context, a *guest.Agent) error {
			return a.Process(r.GetProcessId()).Signal(ctx, int(r.GetSignal()))
		})
	}
	return &bulkheadv1.SignalProcessResponse{}, toStatus(err)
}

// ResizeProcess implements bulkheadv1.ProcessesServer.
func (s *processes) ResizeProcess(ctx context.Context, r *bulkheadv1.ResizeProcessRequest) (*bulkheadv1.ResizeProcessResponse, error) {
	err := checkSize("size", r.GetSize())
	if err == nil {
		err = s.with(ctx, r.GetSandbox(), func(ctx context.Context, a *guest.Agent) error {
			return a.Process(r.GetProcessId()).Resize(ctx, sizeOf(r.GetSize()))
		})
	}
	return &bulkheadv1.ResizeProcessResponse{}, toStatus(err)
}

// with calls do with the agent of a sandbox's guest.
func (s *processes) with(ctx context.Context, sandbox string, do func(context.Context, *guest.Agent) error) error {
	i, end, err := s.node.Use(sandbox)
	if err != nil {
		return err
	}
	defer end()
	return i.With(ctx, do)
}

func exitOf(e *guest.Exit) *bulkheadv1.ProcessExit {
	return &bulkheadv1.ProcessExit{
		ExitCode: e.GetExitCode(), Signal: e.GetSignal(),
		UserTimeNs: e.GetUserTimeNs(), SystemTimeNs: e.GetSystemTimeNs(), MaxRssBytes: e.GetMaxRssBytes(),
	}
}
