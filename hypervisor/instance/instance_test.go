package instance_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/supervise"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

func TestMain(m *testing.M) {
	workertest.Main()
	os.Exit(m.Run())
}

// newHost returns a host for fake workers, and a short path of its own.
func newHost(t *testing.T) (h instance.Host, dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: fake guests take root")
	}
	dir, err := os.MkdirTemp("", "instance") // sockets have little room
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return instance.Host{RuntimeDir: filepath.Join(dir, "run"), Worker: supervise.Options{Path: os.Args[0]}}, dir
}

// launch starts a machine whose vsock has a socket of the user's at path.
func launch(t *testing.T, h instance.Host, path string) *instance.Instance {
	t.Helper()
	plan := instance.Plan{
		Name: "box", Setup: &agentv1.SetupRequest{},
		Machine: &vmmv1.MachineConfig{Vsock: &vmmv1.Vsock{Paths: []*vmmv1.VsockPath{{Path: path}}}},
	}
	i, err := instance.Launch(h, plan, new(instance.Timings))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestForeignSocket fails to start machines because something is where their socket
// is to be. It stays.
func TestForeignSocket(t *testing.T) {
	for name, occupy := range map[string]func(t *testing.T, path string){
		"a file": func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("a user's"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"a socket": func(t *testing.T, path string) {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		},
		"a link": func(t *testing.T, path string) {
			if err := os.Symlink("nowhere", path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, dir := newHost(t)
			path := filepath.Join(dir, "vsock")
			occupy(t, path)
			i := launch(t, h, path)
			if _, err := i.Boot(t.Context()); err == nil {
				t.Error("the machine started")
			}
			if err := i.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("what was there is gone: %v", err)
			}
		})
	}
}

// TestAbandonedSocket kills a worker: its socket goes with the instance.
func TestAbandonedSocket(t *testing.T) {
	h, dir := newHost(t)
	path := filepath.Join(dir, "vsock")
	i := launch(t, h, path)
	if _, err := i.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(i.Worker().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-i.Ended()
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the worker removed it: %v", err)
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

// TestOldWorker finds a worker of an earlier version before it has a machine, has it make
// one, and saves that.
func TestOldWorker(t *testing.T) {
	h, dir := newHost(t)
	p := instance.Plan{
		Name: "box", Setup: &agentv1.SetupRequest{}, Machine: &vmmv1.MachineConfig{Cmdline: workertest.WordOld, MemoryBytes: 32 << 20}, BootTimeout: time.Minute,
	}
	i, err := instance.Launch(h, p, new(instance.Timings))
	if err == nil {
		err = i.Detach()
	}
	if err == nil {
		i, err = instance.Attach(t.Context(), h, p, supervise.Identity{})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if _, err := i.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "snapshot")
	if err := i.Snapshot(t.Context(), &vmmv1.SnapshotRequest{Path: path, Owner: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	c, err := i.Exec(t.Context(), guest.Command{Args: []string{"true"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if exit, err := i.Wait(t.Context(), c); err != nil || exit.GetExitCode() != 0 {
		t.Errorf("after that: %v, %v", exit, err)
	}
}

// TestDetachLeavesNoDescriptor lets go of an instance, which goes on.
func TestDetachLeavesNoDescriptor(t *testing.T) {
	h, dir := newHost(t)
	i := launch(t, h, filepath.Join(dir, "vsock"))
	id := i.Worker()
	if err := i.Detach(); err != nil {
		t.Fatal(err)
	}
	all, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range all {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, dir) {
			t.Errorf("%s is open still: %s", fd, to)
		}
	}
	if err := supervise.Kill(id); err != nil {
		t.Error(err)
	}
}

// TestBecomesAnother has a machine that stands still be another's, who has another plan
// for it: the guest goes on, is renewed, and runs that one's command.
func TestBecomesAnother(t *testing.T) {
	for name, by := range map[string]func(*testing.T, instance.Host, *instance.Instance, instance.Plan) (*instance.Instance, error){
		"attach": func(t *testing.T, h instance.Host, i *instance.Instance, p instance.Plan) (*instance.Instance, error) {
			if err := i.Detach(); err != nil {
				return nil, err
			}
			return instance.Attach(t.Context(), h, p, i.Worker())
		},
		"hand over": func(_ *testing.T, _ instance.Host, i *instance.Instance, p instance.Plan) (*instance.Instance, error) {
			return i.HandOver(p)
		},
	} {
		t.Run(name, func(t *testing.T) { becomesAnother(t, by) })
	}
}

func becomesAnother(t *testing.T, by func(*testing.T, instance.Host, *instance.Instance, instance.Plan) (*instance.Instance, error)) {
	h, dir := newHost(t)
	plan := func(hostname string) instance.Plan {
		return instance.Plan{
			Name: "box", Setup: &agentv1.SetupRequest{}, Machine: &vmmv1.MachineConfig{}, Template: true,
			Identity: &agentv1.RenewRequest{Hostname: hostname, MachineId: strings.Repeat("0", 32)},
		}
	}
	i, err := instance.Launch(h, plan("first"), new(instance.Timings))
	if err != nil {
		t.Fatal(err)
	}
	_, err = i.Boot(t.Context())
	if err := errors.Join(err, i.Pause(t.Context())); err != nil {
		t.Fatal(err)
	}
	first := i
	second := plan("second")
	second.Command = &guest.Command{Args: []string{"sh", "-c", "exit 7"}}
	second.Log = &vmmv1.LogFile{Path: filepath.Join(dir, "log")}
	if i, err = by(t, h, first, second); err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if err := first.Resume(t.Context()); !errors.Is(err, instance.ErrDetached) {
		t.Errorf("by who has let go of it: %v", err)
	}
	if _, err := i.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if steps := i.Timings.Steps(); steps[0].Name != "machine resumed" {
		t.Errorf("steps %v", steps)
	}
	if state, err := i.Describe(t.Context()); err != nil || state != vmmv1.MachineState_MACHINE_STATE_RUNNING {
		t.Errorf("%v, %v", state, err)
	}
	exit, err := i.AwaitExit(t.Context())
	if err != nil || exit.GetExitCode() != 7 {
		t.Errorf("%v, %v", exit, err)
	}
	if b, err := os.ReadFile(filepath.Join(h.RuntimeDir, "box", "guest", "renewed.json")); err != nil || !strings.Contains(string(b), `"second"`) {
		t.Errorf("renewed as %s, %v", b, err)
	}
}
