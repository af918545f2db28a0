package worker

import (
	"context"
	"log/slog"
	"os"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/vmm/procstat"
	"github.com/bulkhead-vm/bulkhead/vmm/timeline"
	"github.com/bulkhead-vm/bulkhead/vmm/version"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// must is for calls that can't fail.
func must[T any](r T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

func wantState(t *testing.T, w *Worker, want vmmv1.MachineState) {
	t.Helper()
	if d := must(w.Describe(t.Context(), &vmmv1.DescribeRequest{}))(t); d.GetMachine() != want {
		t.Errorf("the machine is %v, want %v", d.GetMachine(), want)
	}
}

func TestDescribe(t *testing.T) {
	w := New(Config{Log: slog.New(slog.DiscardHandler), Timeline: new(timeline.Timeline)})
	t.Cleanup(w.Close)
	d := must(w.Describe(t.Context(), &vmmv1.DescribeRequest{}))(t)
	ticks := must(procstat.StartTicks(os.Getpid()))(t)
	if d.GetVersion() != version.Text() || int(d.GetPid()) != os.Getpid() || d.GetStartTicks() != ticks {
		t.Errorf("%v, want version %q, process %d that began at %d", d, version.Text(), os.Getpid(), ticks)
	}
	wantState(t, w, vmmv1.MachineState_MACHINE_STATE_NONE)
}

// TestStates follows a machine from its making to its end.
func TestStates(t *testing.T) {
	ctx := context.Background()
	w := create(t, &vmmv1.MachineConfig{})
	wantState(t, w, vmmv1.MachineState_MACHINE_STATE_CREATED)
	if _, err := w.Pause(ctx, &vmmv1.PauseRequest{}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("pause before the start: %v", err)
	}
	wantState(t, w, vmmv1.MachineState_MACHINE_STATE_CREATED)
	must(w.Start(ctx, &vmmv1.StartRequest{}))(t)
	wantState(t, w, vmmv1.MachineState_MACHINE_STATE_RUNNING)
	for range 2 {
		must(w.Pause(ctx, &vmmv1.PauseRequest{}))(t)
		wantState(t, w, vmmv1.MachineState_MACHINE_STATE_PAUSED)
		must(w.Resume(ctx, &vmmv1.ResumeRequest{}))(t)
		wantState(t, w, vmmv1.MachineState_MACHINE_STATE_RUNNING)
	}
	must(w.Pause(ctx, &vmmv1.PauseRequest{}))(t)
	must(w.Stop(ctx, &vmmv1.StopRequest{}))(t)
	wantState(t, w, vmmv1.MachineState_MACHINE_STATE_ENDED)
	must(w.Wait(ctx, &vmmv1.WaitRequest{}))(t)
	wantState(t, w, vmmv1.MachineState_MACHINE_STATE_ENDED)
}

// TestCreateStarts makes machines that run at once, as the guest's end shows, and that
// are as others are.
func TestCreateStarts(t *testing.T) {
	powerOff := []byte{0xb0, 0x34, 0xba, 0, 0x06, 0, 0, 0xee, 0xf4} // mov al, 0x34; mov edx, 0x600; out dx, al; hlt
	w := createAs(t, powerOff, &vmmv1.CreateRequest{Machine: &vmmv1.MachineConfig{}, Start: true})
	if r := must(w.Wait(t.Context(), &vmmv1.WaitRequest{}))(t); r.GetReason() != vmmv1.EndReason_END_REASON_POWER_OFF {
		t.Errorf("its end: %v", r)
	}
	w = createAs(t, []byte{0xf4}, &vmmv1.CreateRequest{Machine: &vmmv1.MachineConfig{}, Start: true})
	must(w.Start(t.Context(), &vmmv1.StartRequest{}))(t) // which is nothing new
	must(w.Pause(t.Context(), &vmmv1.PauseRequest{}))(t)
	wantState(t, w, vmmv1.MachineState_MACHINE_STATE_PAUSED)
}
