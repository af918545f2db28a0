package e2e

import (
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// whoIs says when its guest is there, waits for a line, and says who the guest is, with a
// random number. All of it is the shell's own: starting programs takes long where guests'
// kernels are emulated.
const whoIs = `echo up; read line; echo "got $line"; read name < /proc/sys/kernel/hostname; read number < /proc/sys/kernel/random/uuid; echo "$name $number"; echo bad >&2; exit 7`

// run is one of "bulkhead run".
type run struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout lockedBuffer
	stderr lockedBuffer
}

// TestTemplate has two sandboxes begin as a template at once, one of which finds it by
// itself, beside one that boots: all do the same, each as itself.
func TestTemplate(t *testing.T) {
	id, root := template(t), shellRoot(t)
	command := func(args ...string) *exec.Cmd {
		cmd := bulkhead(t, append([]string{"run", "-i"}, append(args, "--", "sh", "-c", whoIs)...)...)
		cmd.Env = append(cmd.Env, "BULKHEAD_TEMPLATES="+common.templates())
		return cmd
	}
	commands := []*exec.Cmd{
		command("--rootfs", root, "--template", "none"), command("--template", id), command("--rootfs", root),
	}
	runs := make([]*run, 3)
	for i := range runs {
		r := &run{cmd: commands[i]}
		var err error
		if r.stdin, err = r.cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		r.cmd.Stdout, r.cmd.Stderr = &r.stdout, &r.stderr
		runs[i] = r
	}
	runs[0].begin(t)
	runs[0].end(t)
	runs[1].begin(t)
	runs[2].begin(t)
	var both sync.WaitGroup
	for _, r := range runs[1:] { // both are there
		both.Go(func() { r.end(t) })
	}
	both.Wait()
	var names, numbers []string
	for i, r := range runs {
		lines := strings.Split(r.stdout.String(), "\n")
		if len(lines) < 3 || lines[0] != "up" || lines[1] != "got a line" {
			t.Fatalf("run %d said %q\n%s", i, r.stdout.String(), r.stderr.String())
		}
		who := strings.Fields(lines[2])
		if len(who) < 2 || slices.Contains(names, who[0]) || slices.Contains(numbers, who[1]) {
			t.Fatalf("run %d is %q, beside %q with %q", i, who, names, numbers)
		}
		names, numbers = append(names, who[0]), append(numbers, who[1])
		if restored := strings.Contains(r.stderr.String(), "restored from template "+id); restored != (i == 2) { // asked for, it needn't be said
			t.Errorf("run %d: %q", i, r.stderr.String())
		}
		if !strings.HasSuffix(r.stderr.String(), "bad\n") {
			t.Errorf("run %d: standard error %q", i, r.stderr.String())
		}
	}
	t.Logf("they were %q, with %q", names, numbers)
}

// upTime is how long a command may take to be there, on a host that is busy with others.
const upTime = 10 * time.Minute

// begin starts it and waits until its command is there.
func (r *run) begin(t *testing.T) {
	t.Helper()
	start := time.Now()
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.cmd.Process.Kill() })
	for !strings.Contains(r.stdout.String(), "up") {
		if time.Since(start) > upTime {
			t.Fatalf("its command isn't there: %q\n%s", r.stdout.String(), r.stderr.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("up after %v", time.Since(start).Round(time.Millisecond))
}

// end gives it its line, and waits for its end.
func (r *run) end(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(r.stdin, "a line\n"); err != nil {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := r.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("it ended with %v\n%s", err, r.stderr.String())
	}
}
