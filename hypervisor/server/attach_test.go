package server_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/bulkhead-vm/bulkhead/hypervisor/nodetest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// stopped waits until a sandbox is.
func (f *fixture) stopped(name string) {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		r, err := f.GetSandbox(f.t.Context(), &bulkheadv1.GetSandboxRequest{Name: name})
		f.must(err)
		if r.GetSandbox().GetStatus().GetState() == bulkheadv1.SandboxState_SANDBOX_STATE_STOPPED {
			return
		}
		if time.Since(began) > 30*time.Second {
			f.t.Fatalf("%s is %v", name, r.GetSandbox().GetStatus())
		}
	}
}

// TestAttachSlowly reads what a command wrote when its sandbox has ended: all of it
// comes, and how the command ended.
func TestAttachSlowly(t *testing.T) {
	f := serve(t)
	f.start("job", &bulkheadv1.Command{Args: []string{"sh", "-c", "read x; head -c 4000000 /dev/zero; exit 3"}, Stdin: true})
	p, err := f.Attach(t.Context(), "job", true)
	f.must(err)
	io.WriteString(p.Stdin, "go\n")
	f.stopped("job")
	out, _, exit := f.collect(p, false, "")
	if len(out) != 4000000 || exit.GetExitCode() != 3 {
		t.Errorf("%d bytes, exit %v", len(out), exit)
	}
}

// TestAttachInputTooLate has input on its way when the command ends.
func TestAttachInputTooLate(t *testing.T) {
	f := serve(t)
	for n := range 8 {
		name := fmt.Sprint("job", n)
		f.start(name, &bulkheadv1.Command{Args: []string{"sh", "-c", "read x; echo $x; exit 3"}, Stdin: true})
		p, err := f.Attach(t.Context(), name, true)
		f.must(err)
		io.WriteString(p.Stdin, "go\n")
		io.WriteString(p.Stdin, "and more\n")
		p.Stdin.Close()
		if out, _, exit := f.collect(p, false, ""); out != "go\n" || exit.GetExitCode() != 3 {
			t.Errorf("%q, exit %v", out, exit)
		}
	}
}

// TestNodeClosesUnderCalls ends the node: calls hear that they may come again, and
// not that their sandbox has ended.
func TestNodeClosesUnderCalls(t *testing.T) {
	f := serve(t)
	f.start("box", nil)
	f.start("job", sh("sleep 1000"))
	exec, err := f.Exec(t.Context(), "box", sh("sleep 1000"))
	f.must(err)
	attached, err := f.Attach(t.Context(), "job", true)
	f.must(err)
	f.must(f.node.Close())
	_, err = exec.Wait()
	f.refused(err, codes.Unavailable, "NODE_CLOSING")
	_, err = attached.Wait()
	f.refused(err, codes.Unavailable, "NODE_CLOSING")
	f.node = nodetest.Open(t, f.config) // which finds the sandboxes again
}
