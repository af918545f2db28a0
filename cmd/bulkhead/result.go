package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// jsonToStdout is the value of --json without one.
const jsonToStdout = "-"

// result is what --json prints.
type result struct {
	Name      string `json:"name,omitempty"`
	ExitCode  int    `json:"exit_code"`
	Signal    int    `json:"signal,omitempty"`
	EndReason string `json:"end_reason"`
	Error     string `json:"error,omitempty"`

	// Timings lists the stages in the order of time, in milliseconds since the
	// first.
	Timings   []timing   `json:"timings,omitempty"`
	Resources *resources `json:"resources,omitempty"`

	started bool        // the command was
	midLine atomic.Bool // standard output ends within a line
	err     error
}

type timing struct {
	Step    string  `json:"step"`
	AfterMS float64 `json:"after_ms"`
}

// resources is what the command and its machine have used.
type resources struct {
	CommandUserMS   float64 `json:"command_user_ms"`
	CommandSystemMS float64 `json:"command_system_ms"`
	CommandMaxRSS   uint64  `json:"command_max_rss_bytes"`
	VMMUserMS       float64 `json:"vmm_user_ms"` // guest time included
	VMMSystemMS     float64 `json:"vmm_system_ms"`
	GuestMemory     uint64  `json:"guest_memory_bytes"`
	VMMMemory       uint64  `json:"vmm_memory_bytes"`
}

// End reasons beside those of machines.
const (
	endWorkloadExit = "workload exit"
	endTimeout      = "timeout"
	endKilled       = "killed"
	endError        = "error"
)

// finish records how the command ended.
func (r *result) finish(s *agentv1.WaitResponse) {
	r.ExitCode, r.Signal = int(s.GetExitCode()), int(s.GetSignal())
	r.EndReason = endWorkloadExit
	res := r.resources()
	res.CommandUserMS = milliseconds(time.Duration(s.GetUserTimeNs()))
	res.CommandSystemMS = milliseconds(time.Duration(s.GetSystemTimeNs()))
	res.CommandMaxRSS = s.GetMaxRssBytes()
}

func (r *result) resources() *resources {
	if r.Resources == nil {
		r.Resources = new(resources)
	}
	return r.Resources
}

// collect asks the sandbox, before it is closed, what it has used.
func (r *result) collect(box *node.Sandbox) {
	r.Name = box.Name
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s, err := box.Stats(ctx); err == nil {
		box.Timings.Add(s.GetSteps()...)
		res := r.resources()
		res.VMMUserMS = milliseconds(time.Duration(s.GetUserTimeNs()))
		res.VMMSystemMS = milliseconds(time.Duration(s.GetSystemTimeNs()))
		res.GuestMemory, res.VMMMemory = s.GetGuestMemoryBytes(), s.GetOverheadMemoryBytes()
	}
	for _, step := range box.Timings.Steps() {
		r.Timings = append(r.Timings, timing{step.Name, milliseconds(step.After)})
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// conclude turns the session's error into an exit code and an end reason.
func (r *result) conclude(err error) {
	if err == nil {
		return
	}
	r.err, r.Error = err, oneLine(err)
	var (
		exit  *exitError
		ended *node.EndedError
	)
	switch {
	case errors.As(err, &exit):
		r.ExitCode, r.EndReason = exit.code, endKilled
		if errors.Is(err, errTimeout) {
			r.EndReason = endTimeout
		}
	case errors.Is(err, guest.ErrNotFound):
		r.ExitCode, r.EndReason = exitNotFound, endError
	case errors.Is(err, guest.ErrNotExecutable):
		r.ExitCode, r.EndReason = exitNotExecutable, endError
	case errors.As(err, &ended):
		r.EndReason = ended.Reason()
		if r.started && ended.ByGuest() { // which is how it chose to end
			r.err, r.Error = nil, ""
			return
		}
		r.ExitCode = exitFailure
	default:
		r.ExitCode, r.EndReason = exitFailure, endError
	}
}

// print writes the object where the flag says.
func (r *result) print(to string) error {
	if to == "" {
		return nil
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if to == jsonToStdout {
		if r.midLine.Load() {
			b = append([]byte("\n"), b...)
		}
		_, err = os.Stdout.Write(b)
		return err
	}
	return os.WriteFile(to, b, 0o644)
}
