package e2e

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// nodeConfig is a daemon's, with more room than the host has: clients make
// sandboxes that they don't start.
const nodeConfig = `
[node]
runtime_dir = "DIR/node"
state_dir = "DIR/state"
cache_dir = "COMMON/cache"
template_dir = "COMMON/templates"
worker = "BIN/bulkhead-vmm"
guest_dir = "BIN/guest"
[listen]
unix = "DIR/api.sock"
[cgroups]
enabled = false
[images]
directories = ["ROOTS", "COMMON", "DIR/disks"]
[vsock]
directories = ["DIR"]
[capacity]
cpu_overcommit = 100.0
memory_overcommit = 100.0
[limits]
boot_timeout = "5m"
`

// daemonNode is a node whose daemons come and go.
type daemonNode struct {
	t   *testing.T
	dir string
	bin string
	log *lockedBuffer // of all of them

	daemon *exec.Cmd
}

func newDaemonNode(t *testing.T) *daemonNode {
	t.Helper()
	requireKVM(t)
	n := &daemonNode{t: t, dir: workDir(t), log: new(lockedBuffer)}
	var err error
	if n.bin, err = filepath.Abs(bin); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(n.dir, "disks"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("DIR", n.dir, "BIN", n.bin, "ROOTS", filepath.Dir(n.python()), "COMMON", common.dir).Replace(nodeConfig)
	if err := os.WriteFile(n.config(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.sweep)
	n.start()
	return n
}

// python is the image of a root file system with Python.
func (n *daemonNode) python() string {
	n.t.Helper()
	path, err := filepath.EvalSymlinks(filepath.Join(n.bin, "python3.tar"))
	if err != nil {
		n.t.Fatalf("%v (\"make python-root\" makes it)", err)
	}
	return path
}

func (n *daemonNode) config() string { return filepath.Join(n.dir, "config.toml") }
func (n *daemonNode) host() string   { return "unix://" + filepath.Join(n.dir, "api.sock") }

// start starts a daemon. It serves when a client is answered.
func (n *daemonNode) start() {
	n.t.Helper()
	n.daemon = exec.Command(filepath.Join(n.bin, "bulkheadd"), "--config", n.config())
	n.daemon.Dir, n.daemon.Stderr = n.dir, n.log // workers inherit the directory, and are found by it
	if err := n.daemon.Start(); err != nil {
		n.t.Fatalf("%v (\"make build\" makes it)", err)
	}
}

// kill ends the daemon as nothing should.
func (n *daemonNode) kill() {
	n.daemon.Process.Kill()
	n.daemon.Wait()
}

// sweep ends the daemon, and fails the test for what it leaves.
func (n *daemonNode) sweep() {
	n.daemon.Process.Signal(syscall.SIGTERM)
	if err := n.daemon.Wait(); err != nil {
		n.t.Errorf("the daemon ended with %v", err)
	}
	for _, pid := range workersIn(n.dir) { // workers outlive daemons
		n.t.Errorf("worker %d is left", pid)
		syscall.Kill(pid, syscall.SIGKILL)
	}
	if left, _ := filepath.Glob(filepath.Join(n.dir, "node/sandboxes/[^.]*")); len(left) > 0 {
		n.t.Errorf("left behind: %v", left)
	}
	if n.t.Failed() {
		n.t.Logf("the daemon said:\n%s", n.log)
	}
}

// dial returns a client whose calls wait for a daemon.
func (n *daemonNode) dial() *client.Client {
	n.t.Helper()
	c, err := client.Dial(n.host(), client.TLS{}, grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Close() })
	return c
}

// output runs a command in a sandbox and returns what it writes.
func output(ctx context.Context, c *client.Client, sandbox string, args ...string) (string, error) {
	p, err := c.Exec(ctx, sandbox, &bulkheadv1.Command{Args: args})
	if err != nil {
		return "", err
	}
	go io.Copy(io.Discard, p.Stderr)
	out, err := io.ReadAll(p.Stdout)
	if err != nil {
		return "", err
	}
	_, err = p.Wait()
	return strings.TrimSpace(string(out)), err
}

// TestDaemonKilled ends daemons at any moment of a guest's boot and of a client's
// traffic. There is one guest all the time, and its command goes on: what it says
// is kept, it takes input, and its end is known.
func TestDaemonKilled(t *testing.T) {
	t.Parallel()
	n := newDaemonNode(t)
	c := n.dial()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	const name = "box"
	_, err := c.CreateSandbox(ctx, &bulkheadv1.CreateSandboxRequest{Name: name, Spec: &bulkheadv1.SandboxSpec{
		RootFs:   &bulkheadv1.RootFS{Path: shellRoot(t)},
		Template: spec.NoTemplate,
		Command:  &bulkheadv1.Command{Args: []string{"sh", "-c", "echo begun; read line; echo got $line; exit 7"}, Stdin: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	called, callOff := context.WithTimeout(ctx, 8*time.Second) // boots take longer
	c.StartSandbox(called, &bulkheadv1.StartSandboxRequest{Name: name})
	callOff()
	n.kill()
	n.start()
	mustRun(ctx, t, c, name)
	boot, err := output(ctx, c, name, "cat", "/proc/sys/kernel/random/boot_id")
	if err != nil || boot == "" {
		t.Fatalf("the guest's first boot: %q, %v", boot, err)
	}
	const kills = 12
	for range kills {
		busy, calm := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for busy.Err() == nil {
				output(busy, c, name, "true") // ends with the daemon, or goes well
			}
		}()
		time.Sleep(time.Duration(rand.Int64N(int64(4 * time.Second))))
		n.kill()
		n.start()
		calm()
		<-done
	}
	mustRun(ctx, t, c, name)
	if after, err := output(ctx, c, name, "cat", "/proc/sys/kernel/random/boot_id"); err != nil || after != boot {
		t.Errorf("after %d kills it is another guest: %q after %q, %v", kills, after, boot, err)
	}
	if workers := workersIn(n.dir); len(workers) != 1 {
		t.Errorf("workers: %v", workers)
	}
	mustEnd(ctx, t, c, name)
	if _, err := c.DeleteSandbox(ctx, &bulkheadv1.DeleteSandboxRequest{Name: name}); err != nil {
		t.Error(err)
	}
}

// mustRun waits until a sandbox runs.
func mustRun(ctx context.Context, t *testing.T, c *client.Client, name string) {
	t.Helper()
	for {
		r, err := c.GetSandbox(ctx, &bulkheadv1.GetSandboxRequest{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		switch state := r.GetSandbox().GetStatus().GetState(); state {
		case bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING:
			return
		case bulkheadv1.SandboxState_SANDBOX_STATE_STARTING:
			time.Sleep(100 * time.Millisecond)
		default:
			t.Fatalf("the sandbox is %v", r.GetSandbox().GetStatus())
		}
	}
}

// mustEnd gives the sandbox's command its line of input, and sees how it ends.
func mustEnd(ctx context.Context, t *testing.T, c *client.Client, name string) {
	t.Helper()
	p, err := c.Attach(ctx, name, true)
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, p.Stderr)
	if _, err := io.WriteString(p.Stdin, "a line\n"); err != nil {
		t.Error(err)
	}
	var out bytes.Buffer
	io.Copy(&out, p.Stdout)
	exit, err := p.Wait()
	if err != nil || exit.GetExitCode() != 7 || out.String() != "begun\ngot a line\n" {
		t.Errorf("the command said %q and ended with %v, %v", out.String(), exit, err)
	}
	if _, err := c.StopSandbox(ctx, &bulkheadv1.StopSandboxRequest{Name: name, GracePeriod: durationpb.New(time.Minute)}); err != nil {
		t.Error(err)
	}
	r, err := c.GetSandbox(ctx, &bulkheadv1.GetSandboxRequest{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	if end := r.GetSandbox().GetStatus().GetExit(); end.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_COMPLETED || end.GetExitCode() != 7 {
		t.Errorf("the run ended with %v", end)
	}
}
