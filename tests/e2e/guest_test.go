package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
)

// bulkhead returns the CLI as a command, with a runtime directory of the
// test's own.
func bulkhead(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	requireKVM(t)
	program, err := filepath.Abs(filepath.Join(bin, "bulkhead"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = workDir(t)
	cmd.Env = append(os.Environ(), "BULKHEAD_RUNTIME_DIR="+filepath.Join(cmd.Dir, runDir))
	t.Cleanup(func() { waitClean(t, cmd.Dir) })
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

// TestBulk sends 8 MiB through the guest and back.
func TestBulk(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	data := bytes.Repeat([]byte("bulkhead"), size/8)
	for i := range data {
		data[i] += byte(i >> 11)
	}
	cmd := bulkhead(t, "run", "-i", "--", "cat")
	cmd.Stdin = bytes.NewReader(data)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	if sha256.Sum256(out) != sha256.Sum256(data) {
		t.Errorf("%d bytes came back, %d were sent; the checksums differ", len(out), size)
	}
}

// TestTerminal has a session on a terminal: what it prints, its size, a change
// of the size, Ctrl-C, and the end.
func TestTerminal(t *testing.T) {
	t.Parallel()
	cmd := bulkhead(t, "run", "-it", "--rootfs", shellRoot(t), "--", "sh")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 33, Cols: 111})
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	s := &session{t: t, tty: tty}
	go s.read()
	s.send("echo rea''dy; stty size\n")
	s.expect("ready")
	s.expect("33 111")
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 44, Cols: 122}); err != nil {
		t.Fatal(err)
	}
	s.send("sleep 1; stty size\n")
	s.expect("44 122")
	s.send("tty; sleep 1000\n")
	s.expect("/dev/pts/")
	time.Sleep(2 * time.Second)
	s.send("\x03") // Ctrl-C ends the sleep, not the shell
	s.send("echo inter''rupted\n")
	s.expect("interrupted")
	s.send("exit 7\n")
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("ended with %v, want exit code 7\n%s", err, s.text())
	}
}

// session is a conversation on a terminal.
type session struct {
	t   *testing.T
	tty *os.File

	mu   sync.Mutex
	seen bytes.Buffer
	from int // of what expect hasn't matched
}

func (s *session) read() {
	buf := make([]byte, 4096)
	for {
		n, err := s.tty.Read(buf)
		s.mu.Lock()
		s.seen.Write(buf[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *session) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.String()
}

func (s *session) send(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.tty, text); err != nil {
		s.t.Fatal(err)
	}
}

func (s *session) expect(want string) {
	s.t.Helper()
	for start := time.Now(); time.Since(start) < 90*time.Second; time.Sleep(20 * time.Millisecond) {
		if i := strings.Index(s.text()[s.from:], want); i >= 0 {
			s.from += i + len(want)
			return
		}
	}
	s.t.Fatalf("never saw %q in:\n%s", want, s.text())
}

// shellRoot is a root file system with busybox's shell and tools.
func shellRoot(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"bin", "etc", "dev", "proc", "sys", "tmp", "run", "root"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("%v (make setup installs busybox-static)", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/busybox"), busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"sh", "stty", "sleep", "tty", "echo", "cat", "yes", "kill", "true"} {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", tool)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestThreeExecs runs three commands in one guest at once.
func TestThreeExecs(t *testing.T) {
	t.Parallel()
	box := startSandbox(t, node.Spec{})
	ctx := t.Context()
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			p, err := box.Exec(ctx, guest.Command{
				Args: []string{"sh", "-c", fmt.Sprintf("echo out %d; cat; echo err %d >&2; exit %d", i, i, i)}, Stdin: true,
			})
			if err != nil {
				t.Error(err)
				return
			}
			defer p.Close()
			fmt.Fprintf(p.Stdin, "in %d\n", i)
			p.Stdin.CloseWrite()
			stderr := make(chan string)
			go func() {
				b, _ := io.ReadAll(p.Stderr)
				stderr <- string(b)
			}()
			stdout, err := io.ReadAll(p.Stdout)
			if err != nil {
				t.Error(err)
			}
			status, err := box.Wait(ctx, p)
			if err != nil {
				t.Error(err)
				return
			}
			want := fmt.Sprintf("out %d\nin %d\n", i, i)
			if e := <-stderr; string(stdout) != want || e != fmt.Sprintf("err %d\n", i) || int(status.GetExitCode()) != i {
				t.Errorf("command %d: stdout %q, stderr %q, exit code %d", i, stdout, e, status.GetExitCode())
			}
		})
	}
	wg.Wait()
}

// startSandbox makes a sandbox in this process.
func startSandbox(t *testing.T, spec node.Spec) *node.Sandbox {
	t.Helper()
	requireKVM(t)
	dir := workDir(t)
	abs, err := filepath.Abs(bin)
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.New(node.Config{
		RuntimeDir: filepath.Join(dir, runDir),
		WorkerPath: filepath.Join(abs, "bulkhead-vmm"),
		GuestDir:   filepath.Join(abs, "guest"),
	})
	if err != nil {
		t.Fatal(err)
	}
	spec.Tied = true
	box, err := n.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
		waitClean(t, dir)
	})
	return box
}

// TestAVX has two processes of one guest, on one CPU, keep different values in
// their vector registers.
func TestAVX(t *testing.T) {
	t.Parallel()
	root := shellRoot(t)
	build := exec.Command("go", "build", "-o", filepath.Join(root, "bin/avx"), "./avx")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := bulkhead(t, "run", "--rootfs", root, "--", "sh", "-c", "avx 1 5s & avx 2 5s; r=$?; wait $! && exit $r")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "registers kept") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// TestWorkerKilled kills the worker while a command runs.
func TestWorkerKilled(t *testing.T) {
	t.Parallel()
	cmd := bulkhead(t, "run", "--vsock", "v.sock", "--", "sh", "-c", "echo up; sleep 1000")
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
	cmd := bulkhead(t, "run", "--", "sh", "-c", "echo up; sleep 1000")
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
	cmd := bulkhead(t, "run", "--", "sh", "-c", "trap 'echo caught' INT; echo up; while :; do sleep 1; done")
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

// TestBrokenPipe has nobody read the output any more: the command notices and
// everything ends.
func TestBrokenPipe(t *testing.T) {
	t.Parallel()
	cmd := bulkhead(t, "run", "--rootfs", shellRoot(t), "--", "yes")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(pipe, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	pipe.Close()
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGPIPE) && code != 1 {
		t.Errorf("exit code %d, want the command's end by a broken pipe", code)
	}
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
		if time.Since(start) > 2*time.Minute {
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
