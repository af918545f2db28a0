package worker

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/boot/boottest"
	"github.com/bulkhead-vm/bulkhead/vmm/timeline"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// create makes a worker with a machine whose guest does nothing.
func create(t *testing.T, c *vmmv1.MachineConfig) *Worker {
	t.Helper()
	return createWith(t, []byte{0xf4}, c) // hlt
}

// createWith makes a worker with a machine whose guest is code in long mode.
func createWith(t testing.TB, code []byte, c *vmmv1.MachineConfig) *Worker {
	t.Helper()
	return createAs(t, code, &vmmv1.CreateRequest{Machine: c})
}

func createAs(t testing.TB, code []byte, r *vmmv1.CreateRequest) *Worker {
	t.Helper()
	if _, err := os.Stat("/dev/kvm"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("NOT TESTED: this host has no /dev/kvm")
	}
	r.Machine.Kernel = writeFile(t, "kernel", boottest.ELF{Code: code}.Marshal())
	w := New(Config{Log: slog.New(slog.DiscardHandler), Timeline: new(timeline.Timeline)})
	t.Cleanup(w.Close)
	if _, err := w.Create(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	return w
}

func writeFile(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSetRateLimit(t *testing.T) {
	w := create(t, &vmmv1.MachineConfig{Disks: []*vmmv1.Disk{{
		Path: writeFile(t, "disk", make([]byte, 1<<20)), Limit: &vmmv1.RateLimit{OperationsPerSecond: 1},
	}}})
	limit := w.controls.limits["blk0"]
	if limit.Take(1, 1) != 0 || limit.Take(1, 1) == 0 {
		t.Error("the configured limit is not in force")
	}
	for device, want := range map[string]codes.Code{"blk0": codes.OK, "rng": codes.OK, "blk1": codes.NotFound, "": codes.NotFound} {
		_, err := w.SetRateLimit(context.Background(), &vmmv1.SetRateLimitRequest{Device: device})
		if status.Code(err) != want {
			t.Errorf("%q: %v, want %v", device, err, want)
		}
	}
	if limit.Take(1, 1) != 0 {
		t.Error("the limit is still in force")
	}
}

func TestSetBalloon(t *testing.T) {
	for with, want := range map[bool]codes.Code{true: codes.OK, false: codes.FailedPrecondition} {
		w := create(t, &vmmv1.MachineConfig{Balloon: with})
		_, err := w.SetBalloon(context.Background(), &vmmv1.SetBalloonRequest{Bytes: 1 << 20})
		if status.Code(err) != want {
			t.Errorf("with a balloon: %v: %v, want %v", with, err, want)
		}
	}
}

func TestPressPowerButton(t *testing.T) {
	for cmdline, want := range map[string]codes.Code{"acpi=force": codes.OK, "acpi=off": codes.FailedPrecondition} {
		w := create(t, &vmmv1.MachineConfig{Cmdline: cmdline})
		_, err := w.PressPowerButton(context.Background(), &vmmv1.PressPowerButtonRequest{})
		if status.Code(err) != want {
			t.Errorf("%s: %v, want %v", cmdline, err, want)
		}
	}
}

func TestRefreshDisk(t *testing.T) {
	image := writeFile(t, "disk", make([]byte, 1<<20))
	base := writeFile(t, "base", make([]byte, 1<<20))
	overlay := filepath.Join(t.TempDir(), "overlay")
	w := create(t, &vmmv1.MachineConfig{Disks: []*vmmv1.Disk{{Path: image}, {Path: base, Overlay: overlay}}})
	if err := os.Truncate(image, 3<<20); err != nil {
		t.Fatal(err)
	}
	for disk, want := range map[uint32]codes.Code{0: codes.OK, 1: codes.FailedPrecondition, 2: codes.NotFound, 1 << 31: codes.NotFound} {
		_, err := w.RefreshDisk(context.Background(), &vmmv1.RefreshDiskRequest{Disk: disk})
		if status.Code(err) != want {
			t.Errorf("disk %d: %v, want %v", disk, err, want)
		}
	}
	var capacity [8]byte
	w.controls.disks[0].device.ReadConfig(0, capacity[:])
	if capacity != [8]byte{0x00, 0x18} {
		t.Errorf("capacity % x, want 0x1800 sectors", capacity)
	}
}

// TestNoMachine asks too early and too late.
func TestNoMachine(t *testing.T) {
	ctx := context.Background()
	early := New(Config{Log: slog.New(slog.DiscardHandler), Timeline: new(timeline.Timeline)})
	late := create(t, &vmmv1.MachineConfig{Balloon: true})
	if _, err := late.Stop(ctx, &vmmv1.StopRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := late.Wait(ctx, &vmmv1.WaitRequest{}); err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]*Worker{"early": early, "late": late} {
		if _, err := w.SetBalloon(ctx, &vmmv1.SetBalloonRequest{}); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("%s: balloon: %v", name, err)
		}
		if _, err := w.PressPowerButton(ctx, &vmmv1.PressPowerButtonRequest{}); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("%s: power button: %v", name, err)
		}
	}
}
