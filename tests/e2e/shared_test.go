package e2e

import (
	"context"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// sharedGuest is a daemon's sandbox by the name "shared", for scripts that need no
// guest of their own.
type sharedGuest struct {
	*daemonNode
	started chan struct{} // closed when it runs, or err says why it doesn't
	err     error
}

// newSharedGuest begins to boot it. It is deleted when the test and its scripts are
// over.
func newSharedGuest(t *testing.T) *sharedGuest {
	t.Helper()
	g := &sharedGuest{daemonNode: newDaemonNode(t), started: make(chan struct{})}
	c := g.dial()
	const name = "shared"
	template(t) // which it goes on from
	spec := &bulkheadv1.SandboxSpec{RootFs: &bulkheadv1.RootFS{Path: shellRoot(t)}}
	if _, err := c.CreateSandbox(t.Context(), &bulkheadv1.CreateSandboxRequest{Name: name, Spec: spec}); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context() // ends before what Cleanup is given
	go func() {
		defer close(g.started)
		_, g.err = c.StartSandbox(ctx, &bulkheadv1.StartSandboxRequest{Name: name})
	}()
	t.Cleanup(func() {
		<-g.started
		if _, err := c.DeleteSandbox(context.Background(), &bulkheadv1.DeleteSandboxRequest{Name: name, Force: true}); err != nil {
			t.Error(err)
		}
	})
	return g
}

// await is a script's command: it waits until the sandbox "shared" of the node
// $NODE runs.
func (g *sharedGuest) await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: shared")
	}
	<-g.started
	ts.Check(g.err)
}
