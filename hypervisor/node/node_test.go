package node_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/capacity"
	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/nodetest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

func TestMain(m *testing.M) {
	workertest.Main() // nodes here start this program as their worker
	os.Exit(m.Run())
}

// fixture is a node of a test's own.
type fixture struct {
	*node.Node
	t      *testing.T
	config node.Config
}

// open returns a node with fake workers. more changes its configuration.
func open(t *testing.T, more ...func(*node.Config)) *fixture {
	t.Helper()
	c := nodetest.Config(t)
	for _, change := range more {
		change(&c)
	}
	f := &fixture{t: t, config: c}
	f.reopen()
	t.Cleanup(func() { nodetest.End(t, f.Node, f.config) })
	return f
}

// reopen opens the node, for the first time or after Close.
func (f *fixture) reopen() {
	f.t.Helper()
	f.Node = nodetest.Open(f.t, f.config)
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// create makes a sandbox, with a command if args are given.
func (f *fixture) create(name string, s *bulkheadv1.SandboxSpec, args ...string) *bulkheadv1.Sandbox {
	f.t.Helper()
	if s == nil {
		s = &bulkheadv1.SandboxSpec{}
	}
	if len(args) > 0 {
		s.Command = &bulkheadv1.Command{Args: args}
	}
	box, err := f.Create(&bulkheadv1.CreateSandboxRequest{Name: name, Spec: s}, "tester")
	f.must(err)
	return box
}

// start makes and starts a sandbox.
func (f *fixture) start(name string, s *bulkheadv1.SandboxSpec, args ...string) *bulkheadv1.Sandbox {
	f.t.Helper()
	f.create(name, s, args...)
	box, err := f.Start(f.t.Context(), name)
	f.must(err)
	return box
}

// State names, short.
const (
	created  = bulkheadv1.SandboxState_SANDBOX_STATE_CREATED
	starting = bulkheadv1.SandboxState_SANDBOX_STATE_STARTING
	running  = bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING
	paused   = bulkheadv1.SandboxState_SANDBOX_STATE_PAUSED
	stopped  = bulkheadv1.SandboxState_SANDBOX_STATE_STOPPED
	backing  = bulkheadv1.SandboxState_SANDBOX_STATE_BACKING_OFF
	stopping = bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING
	deleting = bulkheadv1.SandboxState_SANDBOX_STATE_DELETING
)

// deaf makes and starts a sandbox whose command doesn't heed SIGTERM.
func (f *fixture) deaf(name string) {
	f.t.Helper()
	f.start(name, nil, "sh", "-c", "trap '' TERM; touch "+filepath.Join(f.config.StateDir, name)+"; while :; do sleep 1; done")
	f.untilFile(filepath.Join(f.config.StateDir, name))
}

// until waits for a sandbox's state.
func (f *fixture) until(name string, want bulkheadv1.SandboxState) *bulkheadv1.Sandbox {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		box, err := f.Get(name)
		f.must(err)
		if box.GetStatus().GetState() == want {
			return box
		}
		if time.Since(began) > 20*time.Second {
			f.t.Fatalf("%s is %v, not %v", name, box.GetStatus(), want)
		}
	}
}

// untilGone waits until a sandbox is deleted.
func (f *fixture) untilGone(name string) {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		box, err := f.Get(name)
		if fault.KindOf(err) == fault.NotFound {
			return
		}
		if time.Since(began) > 20*time.Second {
			f.t.Fatalf("%s is still there: %v", name, box.GetStatus())
		}
	}
}

// exec runs a command in a sandbox and returns what it wrote.
func (f *fixture) exec(name string, args ...string) (string, *guest.Exit) {
	f.t.Helper()
	i, end, err := f.Use(name)
	f.must(err)
	defer end()
	p, err := i.Exec(f.t.Context(), guest.Command{Args: args})
	f.must(err)
	defer p.Close()
	go p.Stderr.Read(make([]byte, 1<<16))
	var out strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := p.Stdout.Read(buf)
		out.Write(buf[:n])
		if err != nil {
			break
		}
	}
	exit, err := i.Wait(f.t.Context(), p)
	f.must(err)
	return out.String(), exit
}

// kindIs checks what an error says of itself.
func (f *fixture) kindIs(err error, kind fault.Kind, reason string) {
	f.t.Helper()
	var e *fault.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Reason != reason {
		f.t.Errorf("error is %v, want kind %d, %s", err, kind, reason)
	}
}

func TestLife(t *testing.T) {
	f := open(t)
	box := f.create("web", nil)
	if box.GetStatus().GetState() != created || box.GetUid() == "" || box.GetSpec().GetCpus() != 1 || box.GetClient() != "tester" {
		t.Errorf("made: %v", box)
	}
	box, err := f.Start(t.Context(), "web")
	f.must(err)
	if s := box.GetStatus(); s.GetState() != running || s.GetKernelRelease() != "fake" || len(s.GetPhases()) < 4 {
		t.Errorf("started: %v", s)
	}
	if out, exit := f.exec("web", "echo", "hi"); out != "hi\n" || exit.GetExitCode() != 0 {
		t.Errorf("exec: %q, %v", out, exit)
	}
	if _, err := f.Start(t.Context(), "web"); err != nil {
		t.Errorf("start again: %v", err)
	}
	box, err = f.Stop(t.Context(), "web", node.DefaultGrace)
	f.must(err)
	if s := box.GetStatus(); s.GetState() != stopped || s.GetExit().GetReason() != bulkheadv1.ExitReason_EXIT_REASON_STOPPED || s.GetExit().GetForced() {
		t.Errorf("stopped: %v", s)
	}
	_, _, err = f.Use("web")
	f.kindIs(err, fault.Precondition, fault.ReasonState)
	_, err = f.Start(t.Context(), "web")
	f.must(err)
	f.kindIs(f.Delete(t.Context(), "web", "", false), fault.Precondition, fault.ReasonState)
	f.kindIs(f.Delete(t.Context(), "web", "another", true), fault.NotFound, fault.ReasonNoSandbox)
	f.must(f.Delete(t.Context(), "web", box.GetUid(), true))
	_, err = f.Get("web")
	f.kindIs(err, fault.NotFound, fault.ReasonNoSandbox)
}

func TestCommand(t *testing.T) {
	f := open(t)
	f.start("job", nil, "sh", "-c", "echo out; echo err >&2; exit 7")
	box := f.until("job", stopped)
	if e := box.GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_COMPLETED || e.GetExitCode() != 7 {
		t.Errorf("exit %v", e)
	}
	output, console, err := f.Logs("job")
	f.must(err)
	for path, words := range map[string][]string{output: {"stdout F out", "stderr F err"}, console: {"console F a fake machine is up"}} {
		b, err := os.ReadFile(path)
		f.must(err)
		for _, w := range words {
			if !strings.Contains(string(b), w) {
				t.Errorf("%s doesn't say %q:\n%s", filepath.Base(path), w, b)
			}
		}
	}
}

func TestStopEndsTheCommand(t *testing.T) {
	f := open(t)
	ready := filepath.Join(t.TempDir(), "ready") // fake guests share the host's files
	f.start("job", nil, "sh", "-c", "trap 'exit 5' TERM; sleep 1000 & >"+ready+"; wait")
	for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(ready); err == nil {
			break
		}
	}
	box, err := f.Stop(t.Context(), "job", 5*time.Second)
	f.must(err)
	if e := box.GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_STOPPED || e.GetExitCode() != 5 {
		t.Errorf("exit %v", e)
	}
}

func TestFailedStarts(t *testing.T) {
	f := open(t)
	for name, tt := range map[string]struct {
		words  string
		args   []string
		reason bulkheadv1.ExitReason
		code   int32
		says   string
	}{
		"bad":     {workertest.WordBadMachine, nil, bulkheadv1.ExitReason_EXIT_REASON_START_FAILED, 125, workertest.WordBadMachine},
		"panic":   {workertest.WordPanic, nil, bulkheadv1.ExitReason_EXIT_REASON_GUEST_PANIC, 125, "Kernel panic"},
		"hangs":   {workertest.WordNoBoot, nil, bulkheadv1.ExitReason_EXIT_REASON_START_FAILED, 125, "did not come up within 500ms, while it was booting: "},
		"absent":  {"", []string{"no-such-command"}, bulkheadv1.ExitReason_EXIT_REASON_START_FAILED, 127, "no-such-command"},
		"no-exec": {"", []string{"/etc/passwd"}, bulkheadv1.ExitReason_EXIT_REASON_START_FAILED, 126, "/etc/passwd"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: tt.words}}
			if tt.words == workertest.WordNoBoot {
				s.BootTimeout = durationpb.New(500 * time.Millisecond)
			}
			f.create(name, s, tt.args...)
			_, err := f.Start(t.Context(), name)
			f.kindIs(err, fault.Aborted, fault.ReasonStartFailed)
			if err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %q doesn't say %q", err, tt.says)
			}
			box := f.until(name, stopped)
			if e := box.GetStatus().GetExit(); e.GetReason() != tt.reason || e.GetExitCode() != tt.code {
				t.Errorf("exit %v", e)
			}
		})
	}
}

// TestNoWorker doesn't come as far as a worker, and says why.
func TestNoWorker(t *testing.T) {
	f := open(t)
	f.create("box", nil)
	f.must(os.Remove(filepath.Join(f.config.GuestDir, "userland.erofs")))
	_, err := f.Start(t.Context(), "box")
	f.kindIs(err, fault.Aborted, fault.ReasonStartFailed)
	if err != nil && !strings.Contains(err.Error(), "userland.erofs") {
		t.Errorf("error %q doesn't say what is missing", err)
	}
}

func TestGuestEnds(t *testing.T) {
	f := open(t)
	f.start("box", nil)
	i, end, err := f.Use("box")
	f.must(err)
	f.must(i.PowerOff(t.Context(), time.Second))
	end()
	box := f.until("box", stopped)
	if e := box.GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_POWER_OFF || e.GetExitCode() != 0 {
		t.Errorf("exit %v", e)
	}
}

func TestWorkerKilled(t *testing.T) {
	f := open(t)
	f.start("box", nil)
	i, end, err := f.Use("box")
	f.must(err)
	defer end()
	p, err := os.FindProcess(i.Worker().PID)
	f.must(err)
	f.must(p.Kill())
	box := f.until("box", stopped)
	if e := box.GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_WORKER_LOST || !strings.Contains(e.GetMessage(), "gone") {
		t.Errorf("exit %v", e)
	}
}

func TestCallOffAStart(t *testing.T) {
	f := open(t)
	for name, end := range map[string]func(string) error{
		"stop":   func(n string) error { _, err := f.Stop(t.Context(), n, node.DefaultGrace); return err },
		"kill":   func(n string) error { _, err := f.Kill(t.Context(), n); return err },
		"delete": func(n string) error { return f.Delete(t.Context(), n, "", true) },
	} {
		f.create(name, &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordNoBoot}})
		started := make(chan error, 1)
		go func() {
			_, err := f.Start(context.Background(), name)
			started <- err
		}()
		f.until(name, starting)
		began := time.Now()
		f.must(end(name))
		if took := time.Since(began); took > 20*time.Second { // the guest would take 30 to be given up
			t.Errorf("%s took %v", name, took)
		}
		if err := <-started; err == nil {
			t.Errorf("%s: started all the same", name)
		}
	}
}

func TestCapacity(t *testing.T) {
	f := open(t, func(c *node.Config) {
		c.Capacity = &capacity.Policy{Overcommit: capacity.Overcommit{CPUs: 1, Memory: 1}}
		c.PerClient = 3
	})
	info, err := f.Info()
	f.must(err)
	most := uint32(info.GetAllocatable().GetCpus())
	f.create("all", &bulkheadv1.SandboxSpec{Cpus: most})
	_, err = f.Create(&bulkheadv1.CreateSandboxRequest{Name: "more"}, "tester")
	f.kindIs(err, fault.Exhausted, fault.ReasonNoRoom)
	_, err = f.Start(t.Context(), "all")
	f.must(err)
	_, err = f.Stop(t.Context(), "all", node.DefaultGrace)
	f.must(err)
	f.create("more", nil) // a sandbox that has stopped has nothing
	_, err = f.Start(t.Context(), "all")
	f.kindIs(err, fault.Exhausted, fault.ReasonNoRoom)
	f.must(f.Delete(t.Context(), "more", "", false))
	_, err = f.Start(t.Context(), "all")
	f.must(err)
	f.must(f.SetLimits(node.Limits{PerClient: 1}))
	_, err = f.Create(&bulkheadv1.CreateSandboxRequest{Name: "more"}, "tester")
	f.kindIs(err, fault.Exhausted, fault.ReasonTooMany)
	_, err = f.Create(&bulkheadv1.CreateSandboxRequest{Name: "other"}, "somebody else")
	f.must(err)
}

func TestIdempotency(t *testing.T) {
	f := open(t)
	ask := func(name, id, client string, cpus uint32) (*bulkheadv1.Sandbox, error) {
		return f.Create(&bulkheadv1.CreateSandboxRequest{Name: name, RequestId: id, Spec: &bulkheadv1.SandboxSpec{Cpus: cpus}}, client)
	}
	first, err := ask("a", "1", "me", 1)
	f.must(err)
	again, err := ask("a", "1", "me", 0) // 1 is the default
	if err != nil || again.GetUid() != first.GetUid() {
		t.Errorf("again: %v, %v", again, err)
	}
	_, err = ask("a", "1", "me", 2)
	f.kindIs(err, fault.Exists, fault.ReasonNameTaken)
	_, err = ask("a", "2", "me", 1)
	f.kindIs(err, fault.Exists, fault.ReasonNameTaken)
	_, err = ask("a", "1", "you", 1)
	f.kindIs(err, fault.Exists, fault.ReasonNameTaken)
	made, err := ask("", "3", "me", 1)
	f.must(err)
	again, err = ask("", "3", "me", 1)
	if err != nil || again.GetName() != made.GetName() {
		t.Errorf("by the request's ID: %v, %v", again, err)
	}
	_, err = ask("", "3", "me", 2)
	f.kindIs(err, fault.Exists, fault.ReasonRequestIDUsed)
	other, err := ask("", "3", "you", 2)
	if err != nil || other.GetName() == made.GetName() {
		t.Errorf("another client's: %v, %v", other, err)
	}
}
