package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestPool claims two ready guests, with a daemon killed in between. Each runs the
// command of its claim as itself, in less time than a start takes, and is replaced.
func TestPool(t *testing.T) {
	id := template(t)
	n := newDaemonNode(t)
	c := n.dial()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	const name = "shells"
	if _, err := c.Pools.CreatePool(ctx, &bulkheadv1.CreatePoolRequest{Name: name, Template: id, Size: 2}); err != nil {
		t.Fatal(err)
	}
	mustFill(ctx, t, c, name, 2)
	members := workersIn(n.dir)
	seen := map[string]bool{}
	for i := range 2 {
		box := fmt.Sprint("claimed", i)
		start := time.Now()
		r, err := c.Pools.ClaimSandbox(ctx, &bulkheadv1.ClaimSandboxRequest{
			Pool: name, Name: box, MustBeWarm: true,
			Spec: &bulkheadv1.SandboxSpec{Command: &bulkheadv1.Command{Args: []string{"sh", "-c", whoIs}, Stdin: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("claimed after %v: %v", time.Since(start).Round(time.Millisecond), r.GetSandbox().GetStatus().GetPhases())
		if !r.GetWarm() || r.GetSandbox().GetName() != box || r.GetSandbox().GetStatus().GetOrigin().GetPool() != name {
			t.Errorf("claimed %v", r)
		}
		n.kill()
		n.start()
		who := answer(ctx, t, c, box)
		if len(who) != 2 || who[0] != box || seen[who[1]] {
			t.Errorf("%s is %q, after %v", box, who, seen)
		}
		seen[who[1]] = true
		mustFill(ctx, t, c, name, 2)
		if _, err := c.DeleteSandbox(ctx, &bulkheadv1.DeleteSandboxRequest{Name: box, Force: true}); err != nil {
			t.Error(err)
		}
	}
	now := workersIn(n.dir)
	if isBefore := func(pid int) bool { return slices.Contains(members, pid) }; len(now) != 2 || slices.ContainsFunc(now, isBefore) {
		t.Errorf("workers %v, before the claims %v", now, members)
	}
	if _, err := c.Pools.DeletePool(ctx, &bulkheadv1.DeletePoolRequest{Name: name}); err != nil {
		t.Error(err)
	}
}

// mustFill waits until a pool has so many members that are ready.
func mustFill(ctx context.Context, t *testing.T, c *client.Client, pool string, size uint32) {
	t.Helper()
	start := time.Now()
	for {
		r, err := c.Pools.GetPool(ctx, &bulkheadv1.GetPoolRequest{Name: pool})
		if err != nil {
			t.Fatal(err)
		}
		switch s := r.GetPool().GetStatus(); {
		case s.GetReady() == size:
			t.Logf("%d members after %v", size, time.Since(start).Round(time.Millisecond))
			return
		case s.GetProblem() != "":
			t.Fatalf("the pool is %v", s)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// answer gives whoIs its line in a sandbox, and returns who it says that it is.
func answer(ctx context.Context, t *testing.T, c *client.Client, name string) []string {
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
	lines := strings.Split(out.String(), "\n")
	if err != nil || exit.GetExitCode() != 7 || len(lines) != 4 || lines[1] != "got a line" {
		t.Fatalf("the command of %s said %q and ended with %v, %v", name, out.String(), exit, err)
	}
	return strings.Fields(lines[2])
}
