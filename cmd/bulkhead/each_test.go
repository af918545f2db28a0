package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/spf13/cobra"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
)

// TestEach: the first is done last, what is printed is in order all the same, and
// one that fails keeps no other from being done.
func TestEach(t *testing.T) {
	var others sync.WaitGroup
	others.Add(3)
	run := each(&hostOptions{host: "unix:///nowhere"}, func(_ context.Context, _ *client.Client, name string) error {
		if name == "first" {
			others.Wait()
			return nil
		}
		defer others.Done()
		switch name {
		case "bad":
			return errors.New("bad one")
		case "absent":
			return errNothingToDo
		}
		return nil
	})
	var out strings.Builder
	cmd := &cobra.Command{}
	cmd.SetOut(&out)
	cmd.SetContext(t.Context())
	err := run(cmd, []string{"first", "bad", "absent", "last"})
	if err == nil || err.Error() != "bad one" || out.String() != "first\nlast\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// TestEachBounded: a node is not asked for everything at once.
func TestEachBounded(t *testing.T) {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprint(i))
	}
	var now, most atomic.Int32
	for _, outcome := range inParallel(names, func(string) error {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		now.Add(-1)
		return nil
	}) {
		if err := <-outcome; err != nil {
			t.Error(err)
		}
	}
	if n := most.Load(); n > atATime {
		t.Errorf("%d at a time", n)
	}
}
