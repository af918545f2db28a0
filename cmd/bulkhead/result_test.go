package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

func endedBy(reason vmmv1.EndReason) error {
	return &node.EndedError{End: node.End{WaitResponse: &vmmv1.WaitResponse{Reason: reason}}}
}

func TestConclude(t *testing.T) {
	powerOff, reboot := endedBy(vmmv1.EndReason_END_REASON_POWER_OFF), endedBy(vmmv1.EndReason_END_REASON_REBOOT)
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
		{"panic", endedBy(vmmv1.EndReason_END_REASON_GUEST_PANIC), true, 125, "guest panic", true},
		{"timeout", &exitError{exitTimeout, errTimeout}, true, 124, endTimeout, true},
		{"second SIGINT", &exitError{130, errSignalled}, true, 130, endKilled, true},
		{"not found", fmt.Errorf("start: %w", guest.ErrNotFound), false, 127, endError, true},
		{"not executable", fmt.Errorf("start: %w", guest.ErrNotExecutable), false, 126, endError, true},
		{"anything else", errors.New("disk full"), true, 125, endError, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &result{started: tt.started}
			r.conclude(tt.err)
			if r.ExitCode != tt.code || r.EndReason != tt.reason || (r.err != nil) != tt.message {
				t.Errorf("exit code %d, reason %q, error %v", r.ExitCode, r.EndReason, r.err)
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
