package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestWorkerKilled kills the worker while a command runs.
func TestWorkerKilled(t *testing.T) {
	t.Parallel()
	cmd := fromTemplate(t, "--vsock", "v.sock", "--", "sh", "-c", "echo up; sleep 1000")
	stderr := startAndWaitFor(t, cmd, "up")
	worker := workerOf(t, cmd)
	if err := syscall.Kill(worker, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	text := stderr.String()
	if code := cmd.ProcessState.ExitCode(); code != 125 || strings.Count(text, "\n") != 1 || !strings.Contains(text, "signal: killed") {
		t.Errorf("exit code %d, %q", code, text)
	}
	if _, err := os.Stat(filepath.Join(cmd.Dir, "v.sock")); err == nil {
		t.Error("the vsock's socket is left behind")
	}
}

// TestOwnerKilled kills the CLI: its worker goes too, and cleans up.
func TestOwnerKilled(t *testing.T) {
	t.Parallel()
	cmd := fromTemplate(t, "--", "sh", "-c", "echo up; sleep 1000")
	startAndWaitFor(t, cmd, "up")
	cmd.Process.Kill()
	cmd.Wait()
	// The bundle goes with the next sandbox, whoever makes it.
	for start := time.Now(); len(workersIn(cmd.Dir)) > 0; time.Sleep(50 * time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			t.Fatalf("workers left: %v", workersIn(cmd.Dir))
		}
	}
	next := exec.Command(cmd.Path, "run", "--kernel", "/dev/null", "--", "true")
	next.Dir, next.Env = cmd.Dir, cmd.Env
	next.Run()
}

// TestInterrupts sends SIGINT as Ctrl-C does: the first goes to the command,
// the second ends it.
func TestInterrupts(t *testing.T) {
	t.Parallel()
	cmd := fromTemplate(t, "--", "sh", "-c", "trap 'echo caught' INT; echo up; while :; do sleep 1; done")
	var out lockedBuffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.waitFor(t, "up")
	cmd.Process.Signal(os.Interrupt)
	out.waitFor(t, "caught")
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
}
