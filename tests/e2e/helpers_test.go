package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// bulkhead returns the CLI as a command, with a runtime directory of the
// test's own, and no templates: its guests boot.
func bulkhead(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	requireKVM(t)
	program, err := filepath.Abs(filepath.Join(bin, "bulkhead"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = workDir(t)
	cmd.Env = append(os.Environ(), "BULKHEAD_RUNTIME_DIR="+filepath.Join(cmd.Dir, runDir), "BULKHEAD_TEMPLATES="+filepath.Join(cmd.Dir, "templates"),
		"BULKHEAD_CACHE="+common.cache())
	t.Cleanup(func() { waitClean(t, cmd.Dir) })
	return cmd
}

// fromTemplate is "bulkhead run" of what follows in a guest that has come up already:
// the flags of its own, and "--" and the command.
func fromTemplate(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := bulkhead(t, append([]string{"run", "--template", template(t)}, args...)...)
	cmd.Env = append(cmd.Env, "BULKHEAD_TEMPLATES="+common.templates())
	return cmd
}

// workDir is short: socket paths have little room.
func workDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// waitClean waits until nothing of the test's sandboxes is left: a worker that
// lost its owner takes a moment.
func waitClean(t *testing.T, dir string) {
	t.Helper()
	var left []string
	for start := time.Now(); time.Since(start) < 20*time.Second; time.Sleep(50 * time.Millisecond) {
		if left = leftovers(dir); len(left) == 0 {
			return
		}
	}
	t.Errorf("left behind: %s", strings.Join(left, ", "))
}

// startSandbox makes a sandbox of a node in this process, which goes on from the tests'
// template.
func startSandbox(t *testing.T) *instance.Instance {
	t.Helper()
	dir := workDir(t)
	abs, err := filepath.Abs(bin)
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(node.Config{
		RuntimeDir: filepath.Join(dir, runDir),
		WorkerPath: filepath.Join(abs, "bulkhead-vmm"),
		GuestDir:   filepath.Join(abs, "guest"),
		Tied:       true,
		Limits:     node.Limits{Spec: spec.Policy{Images: []string{common.dir}}, BootTimeout: 5 * time.Minute},

		CacheDir: common.cache(), TemplateDir: common.templates(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		waitClean(t, dir)
	})
	r := &bulkheadv1.CreateSandboxRequest{Name: "box", Spec: &bulkheadv1.SandboxSpec{Template: template(t)}}
	if _, err := n.Create(r, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Start(t.Context(), "box"); err != nil {
		t.Fatal(err)
	}
	box, end, err := n.Use("box")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	return box
}

func startAndWaitFor(t *testing.T, cmd *exec.Cmd, word string) (stderr *lockedBuffer) {
	t.Helper()
	var out lockedBuffer
	stderr = new(lockedBuffer)
	cmd.Stdout, cmd.Stderr = &out, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	out.waitFor(t, word)
	return stderr
}

// lockedBuffer collects output while somebody looks.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *lockedBuffer) waitFor(t *testing.T, word string) {
	t.Helper()
	for start := time.Now(); !strings.Contains(b.String(), word); time.Sleep(20 * time.Millisecond) {
		if time.Since(start) > 5*time.Minute {
			t.Fatalf("never saw %q in %q", word, b.String())
		}
	}
}

func workerOf(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	workers := workersIn(cmd.Dir)
	if len(workers) != 1 {
		t.Fatalf("%d workers: %v", len(workers), workers)
	}
	return workers[0]
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for start := time.Now(); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Since(start) > 2*time.Minute {
			t.Fatalf("not within 2 minutes: %s", what)
		}
	}
}
