package main

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

func endedBy(reason bulkheadv1.ExitReason) error {
	return &endedError{&bulkheadv1.SandboxExit{Reason: reason}, errors.New("the sandbox ended")}
}

// startFailed is how a sandbox ended whose own command didn't start.
func startFailed(code int32) error {
	return &endedError{&bulkheadv1.SandboxExit{Reason: bulkheadv1.ExitReason_EXIT_REASON_START_FAILED, ExitCode: code}, errors.New("the sandbox did not start")}
}

// called is what a node answers, for a reason.
func called(code codes.Code, reason string) error {
	s, err := status.New(code, "what the node says").WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "bulkhead"})
	if err != nil {
		panic(err)
	}
	return plain(s.Err())
}

func TestConclude(t *testing.T) {
	powerOff, reboot := endedBy(bulkheadv1.ExitReason_EXIT_REASON_POWER_OFF), endedBy(bulkheadv1.ExitReason_EXIT_REASON_REBOOT)
	tests := []struct {
		name    string
		err     error
		started bool
		code    int
		reason  string
		message bool
	}{
		{"power-off", powerOff, true, 0, "power off", false},
		{"power-off before the command", powerOff, false, 125, "power off", true},
		{"reboot", reboot, true, 125, "reboot", true},
		{"panic", endedBy(bulkheadv1.ExitReason_EXIT_REASON_GUEST_PANIC), true, 125, "guest panic", true},
		{"no such command at the start", startFailed(127), false, 127, "start failed", true},
		{"start failed", startFailed(125), false, 125, "start failed", true},
		{"worker killed", endedBy(bulkheadv1.ExitReason_EXIT_REASON_WORKER_LOST), true, 125, "host error", true},
		{"timeout", &exitError{exitTimeout, errTimeout}, true, 124, endTimeout, true},
		{"second SIGINT", &exitError{130, errSignalled}, true, 130, endKilled, true},
		{"not found", called(codes.NotFound, fault.ReasonCommandNotFound), false, 127, endError, true},
		{"not executable", called(codes.PermissionDenied, fault.ReasonCommandNotExecutable), false, 126, endError, true},
		{"no such sandbox", called(codes.NotFound, fault.ReasonNoSandbox), false, 125, endError, true},
		{"no node", plain(status.Error(codes.Unavailable, "connection refused")), false, 125, endError, true},
		{"anything else", errors.New("disk full"), true, 125, endError, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &result{started: tt.started}
			r.conclude(tt.err)
			if r.ExitCode != tt.code || r.EndReason != tt.reason || (r.err != nil) != tt.message {
				t.Errorf("exit code %d, reason %q, error %v", r.ExitCode, r.EndReason, r.err)
			}
			if strings.Contains(r.Error, "rpc error") {
				t.Errorf("the user is told %q", r.Error)
			}
		})
	}
}

// TestOneLine: what a guest says moves no cursor.
func TestOneLine(t *testing.T) {
	got := oneLine(errors.New("first\nsecond \x1b[2J\r" + strings.Repeat("x", 5000)))
	if !strings.HasPrefix(got, "first; second ?[2J?xxx") || len(got) > maxMessage+10 {
		t.Errorf("%q", got)
	}
}
