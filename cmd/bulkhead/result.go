package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
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

	began   time.Time
	marking sync.Mutex  // of Timings; no other lock is taken under it
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
	endDetached     = "detached"
)

// mark records that a stage is over now.
func (r *result) mark(step string) {
	r.marking.Lock()
	defer r.marking.Unlock()
	r.Timings = append(r.Timings, timing{step, milliseconds(time.Since(r.began))})
}

// phases records the stages of a sandbox's start.
func (r *result) phases(box *bulkheadv1.Sandbox) {
	for _, p := range box.GetStatus().GetPhases() {
		r.Timings = append(r.Timings, timing{p.GetName(), milliseconds(p.GetAfter().AsDuration())})
	}
}

// finish records how the command ended.
func (r *result) finish(e *bulkheadv1.ProcessExit) {
	r.ExitCode, r.Signal = int(e.GetExitCode()), int(e.GetSignal())
	r.EndReason = endWorkloadExit
	res := r.resources()
	res.CommandUserMS = milliseconds(time.Duration(e.GetUserTimeNs()))
	res.CommandSystemMS = milliseconds(time.Duration(e.GetSystemTimeNs()))
	res.CommandMaxRSS = e.GetMaxRssBytes()
}

func (r *result) resources() *resources {
	if r.Resources == nil {
		r.Resources = new(resources)
	}
	return r.Resources
}

// collect asks the node, before the sandbox is gone, what it has used.
func (r *result) collect(c *client.Client, sandbox string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	answer, err := c.GetSandboxStats(ctx, &bulkheadv1.GetSandboxStatsRequest{Name: sandbox})
	if err != nil {
		return
	}
	s, res := answer.GetStats(), r.resources()
	res.VMMUserMS, res.VMMSystemMS = milliseconds(s.GetUserTime().AsDuration()), milliseconds(s.GetSystemTime().AsDuration())
	res.GuestMemory, res.VMMMemory = s.GetMemoryBytes(), s.GetOverheadBytes()
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
		ended *endedError
	)
	reason := reasonOf(err)
	switch {
	case errors.As(err, &exit):
		r.ExitCode, r.EndReason = exit.code, endKilled
		if errors.Is(err, errTimeout) {
			r.EndReason = endTimeout
		}
	case reason == fault.ReasonCommandNotFound:
		r.ExitCode, r.EndReason = exitNotFound, endError
	case reason == fault.ReasonCommandNotExecutable:
		r.ExitCode, r.EndReason = exitNotExecutable, endError
	case errors.As(err, &ended):
		r.EndReason = ended.reason()
		if r.started && ended.byGuest() { // which is how it chose to end
			r.err, r.Error = nil, ""
			return
		}
		r.ExitCode = ended.code()
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
