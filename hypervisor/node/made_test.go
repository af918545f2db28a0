package node_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestTemplateForAll has clients who ask for the same one at once share it.
func TestTemplateForAll(t *testing.T) {
	f := open(t)
	prepare := &bulkheadv1.Command{Args: []string{"sleep", "0.3"}}
	for n, prepare := range []*bulkheadv1.Command{nil, prepare} {
		made, all := make([]*bulkheadv1.Template, 4), sync.WaitGroup{}
		for i := range made {
			all.Go(func() {
				s := &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordSlowSave}, BootTimeout: durationpb.New(time.Duration(20+i) * time.Second)}
				var err error
				if made[i], _, err = f.CreateTemplate(context.Background(), &bulkheadv1.CreateTemplateRequest{Spec: s, Prepare: prepare}, fmt.Sprint("client", i)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if count, err := f.CountTemplates(); count != n+1 || err != nil {
			t.Errorf("%d templates, %v", count, err)
		}
		for _, m := range made[1:] {
			if m.GetId() != made[0].GetId() {
				t.Errorf("%v and %v", made[0], m)
			}
		}
	}
}

// TestTemplateCalledOff by the one client of two: the other gets its own.
func TestTemplateCalledOff(t *testing.T) {
	f := open(t)
	r := &bulkheadv1.CreateTemplateRequest{Prepare: &bulkheadv1.Command{Args: []string{"sleep", "2"}}}
	first, second := make(chan error, 1), make(chan error, 1)
	go func() {
		_, _, err := f.CreateTemplate(context.Background(), r, "one")
		first <- err
	}()
	var making string
	for began := time.Now(); making == ""; making = f.names() {
		if time.Since(began) > 10*time.Second {
			t.Fatal("no sandbox is made for it")
		}
	}
	f.until(making, running)
	go func() {
		_, existed, err := f.CreateTemplate(context.Background(), r, "two")
		if existed {
			t.Error("there was one")
		}
		second <- err
	}()
	time.Sleep(100 * time.Millisecond)
	if names := f.names(); strings.Contains(names, " ") {
		t.Errorf("each has a sandbox: %s", names)
	}
	f.must(f.Delete(t.Context(), making, "", true))
	if err := <-first; fault.KindOf(err) != fault.Aborted {
		t.Errorf("called off: %v", err)
	}
	f.must(<-second)
	if n, err := f.CountTemplates(); n != 1 || err != nil {
		t.Errorf("%d templates, %v", n, err)
	}
}
