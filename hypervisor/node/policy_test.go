package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

func onFailure(most uint32) *bulkheadv1.RestartPolicy {
	return &bulkheadv1.RestartPolicy{
		Mode: bulkheadv1.RestartMode_RESTART_MODE_ON_FAILURE, MaxRestarts: most,
		Backoff: durationpb.New(100 * time.Millisecond), MaxBackoff: durationpb.New(150 * time.Millisecond),
	}
}

func TestRestarts(t *testing.T) {
	f := open(t)
	f.start("fails", &bulkheadv1.SandboxSpec{Restart: onFailure(2)}, "false")
	box := f.until("fails", stopped)
	if s := box.GetStatus(); s.GetRestarts() != 2 || s.GetExit().GetExitCode() != 1 {
		t.Errorf("after its restarts: %v", s)
	}
	f.start("succeeds", &bulkheadv1.SandboxSpec{Restart: onFailure(2)}, "true")
	if s := f.until("succeeds", stopped).GetStatus(); s.GetRestarts() != 0 {
		t.Errorf("a success was restarted: %v", s)
	}
	f.start("stopped", &bulkheadv1.SandboxSpec{Restart: onFailure(0)}, "sleep", "1000")
	_, err := f.Stop(t.Context(), "stopped", time.Millisecond)
	f.must(err)
	if s := f.until("stopped", stopped).GetStatus(); s.GetRestarts() != 0 {
		t.Errorf("what somebody stopped was restarted: %v", s)
	}
	f.create("panics", &bulkheadv1.SandboxSpec{Restart: onFailure(1), Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordPanic}})
	_, err = f.Start(t.Context(), "panics")
	f.kindIs(err, fault.Aborted, fault.ReasonStartFailed)
	if s := f.until("panics", stopped).GetStatus(); s.GetRestarts() != 1 {
		t.Errorf("a failed start: %v", s)
	}
}

func TestBackOffCanBeStopped(t *testing.T) {
	f := open(t)
	policy := onFailure(0)
	policy.Backoff, policy.MaxBackoff = durationpb.New(time.Hour), nil
	f.start("fails", &bulkheadv1.SandboxSpec{Restart: policy}, "false")
	box := f.until("fails", backing)
	if at := box.GetStatus().GetRestartTime().AsTime(); time.Until(at) > 5*time.Minute || time.Until(at) < 4*time.Minute {
		t.Errorf("to be restarted at %v, want 5 minutes, which is the most", at)
	}
	_, err := f.Stop(t.Context(), "fails", node.DefaultGrace)
	f.must(err)
	f.until("fails", stopped)
}

func TestTimeToLive(t *testing.T) {
	f := open(t)
	ttl := durationpb.New(300 * time.Millisecond)
	f.create("created", &bulkheadv1.SandboxSpec{Ttl: ttl})
	f.create("running", &bulkheadv1.SandboxSpec{Ttl: ttl}, "sleep", "1000")
	f.Start(t.Context(), "running") // it may be over before
	f.untilGone("created")
	f.untilGone("running")
}

func TestIdle(t *testing.T) {
	f := open(t)
	idle := &bulkheadv1.SandboxSpec{IdleTimeout: durationpb.New(300 * time.Millisecond)}
	f.create("box", idle)
	var end func()
	for range 10 { // it may be idle for too long before it is used
		_, err := f.Start(t.Context(), "box")
		f.must(err)
		if _, end, err = f.Use("box"); err == nil {
			break
		}
		f.until("box", stopped)
	}
	if end == nil {
		t.Fatal("a sandbox that is idle can't be used at all")
	}
	time.Sleep(600 * time.Millisecond)
	f.until("box", running) // somebody is in it
	end()
	end() // once is enough
	box := f.until("box", stopped)
	if e := box.GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_IDLE {
		t.Errorf("exit %v", e)
	}
	f.start("works", proto.CloneOf(idle), "sleep", "1")
	box = f.until("works", stopped)
	if e := box.GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_COMPLETED {
		t.Errorf("a sandbox with a command was idle: %v", e)
	}
}

// TestNeverStarted has sandboxes that nobody starts give back what is theirs.
func TestNeverStarted(t *testing.T) {
	f := open(t)
	idle := durationpb.New(100 * time.Millisecond)
	f.create("box", &bulkheadv1.SandboxSpec{IdleTimeout: idle}, "true")
	f.create("passing", &bulkheadv1.SandboxSpec{IdleTimeout: idle, AutoDelete: true})
	if e := f.until("box", stopped).GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_IDLE {
		t.Errorf("exit %v", e)
	}
	f.untilGone("passing")
	info, err := f.Info()
	f.must(err)
	if info.GetAllocated().GetCpus() != 0 {
		t.Errorf("allocated: %v", info.GetAllocated())
	}
	_, err = f.Start(t.Context(), "box")
	f.must(err)
	f.until("box", stopped)
}

func TestAutoDelete(t *testing.T) {
	f := open(t)
	f.start("job", &bulkheadv1.SandboxSpec{AutoDelete: true}, "true")
	f.untilGone("job")
	f.start("again", &bulkheadv1.SandboxSpec{AutoDelete: true, Restart: onFailure(1)}, "false")
	f.untilGone("again")
}

func TestDrain(t *testing.T) {
	f := open(t)
	f.start("job", nil, "sleep", "0.5")
	f.start("service", nil, "sleep", "1000")
	f.create("waiting", nil)
	later := onFailure(0)
	later.Backoff, later.MaxBackoff = durationpb.New(time.Hour), durationpb.New(time.Hour)
	f.start("fails", &bulkheadv1.SandboxSpec{Restart: later}, "false")
	f.until("fails", backing)
	f.deaf("leaving")
	go f.Stop(t.Context(), "leaving", time.Hour)
	f.until("leaving", stopping)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := f.Drain(short, false, node.DefaultGrace); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drained while a service runs: %v", err)
	}
	_, err := f.Create(&bulkheadv1.CreateSandboxRequest{Name: "new"}, "tester")
	f.kindIs(err, fault.Unavailable, fault.ReasonDraining)
	_, err = f.Start(t.Context(), "waiting")
	f.kindIs(err, fault.Unavailable, fault.ReasonDraining)
	f.until("job", stopped)
	told := make(chan error, 1)
	go func() {
		f.until("service", stopped)
		_, err := f.Kill(t.Context(), "leaving") // the drain waits for it
		told <- err
	}()
	count, err := f.Drain(t.Context(), true, time.Millisecond)
	if err != nil || count != 1 {
		t.Errorf("%d stopped, %v; want the service", count, err)
	}
	f.must(<-told)
	for name, want := range map[string]bulkheadv1.ExitReason{
		"leaving": bulkheadv1.ExitReason_EXIT_REASON_STOPPED, "fails": bulkheadv1.ExitReason_EXIT_REASON_COMPLETED,
	} {
		if e := f.until(name, stopped).GetStatus().GetExit(); e.GetReason() != want {
			t.Errorf("%s: exit %v, want %v", name, e, want)
		}
	}
	box, err := f.Get("service")
	f.must(err)
	if e := box.GetStatus().GetExit(); e.GetReason() != bulkheadv1.ExitReason_EXIT_REASON_DRAINED {
		t.Errorf("exit %v", e)
	}
	f.must(f.Close())
	f.reopen()
	_, err = f.Start(t.Context(), "waiting")
	f.kindIs(err, fault.Unavailable, fault.ReasonDraining) // over a restart, too
	f.must(f.Undrain())
	_, err = f.Start(t.Context(), "waiting")
	f.must(err)
}

// TestDrainMeetsStarts has sandboxes be started while the node is told to take no
// more work: none runs once it has been drained.
func TestDrainMeetsStarts(t *testing.T) {
	f := open(t)
	var names []string
	for i := range 8 {
		names = append(names, fmt.Sprint("box", i))
		f.create(names[i], nil)
	}
	for round := range 5 {
		var starts sync.WaitGroup
		for _, name := range names {
			starts.Go(func() { f.Start(t.Context(), name) })
		}
		time.Sleep(time.Duration(round) * time.Millisecond)
		_, err := f.Drain(t.Context(), true, 0)
		f.must(err)
		check := func() {
			t.Helper()
			for _, name := range names {
				box, err := f.Get(name)
				f.must(err)
				if s := box.GetStatus().GetState(); s != created && s != stopped {
					t.Errorf("%s is %v on a node that was drained", name, s)
				}
			}
		}
		check()
		starts.Wait()
		check()
		f.must(f.Undrain())
	}
}

func TestList(t *testing.T) {
	f := open(t)
	for i := range 25 {
		f.create(fmt.Sprintf("box%02d", i), &bulkheadv1.SandboxSpec{Labels: map[string]string{"odd": fmt.Sprint(i%2 == 1)}})
	}
	f.start("runs", nil)
	names := func(r *bulkheadv1.ListSandboxesRequest) (all []string) {
		t.Helper()
		var version uint64
		for {
			page, err := f.List(r)
			f.must(err)
			if version == 0 {
				version = page.GetResourceVersion()
			}
			if page.GetResourceVersion() != version {
				t.Errorf("version %d, and %d on the first page", page.GetResourceVersion(), version)
			}
			for _, s := range page.GetSandboxes() {
				all = append(all, s.GetName())
			}
			if r.PageToken = page.GetNextPageToken(); r.PageToken == "" {
				return all
			}
			f.create("new"+fmt.Sprint(len(all)), nil) // pages don't care
		}
	}
	if all := names(&bulkheadv1.ListSandboxesRequest{PageSize: 10, LabelSelector: "odd"}); len(all) != 25 || all[0] != "box00" || all[24] != "box24" {
		t.Errorf("all: %q", all)
	}
	if odd := names(&bulkheadv1.ListSandboxesRequest{LabelSelector: "odd=true"}); len(odd) != 12 || odd[0] != "box01" {
		t.Errorf("odd: %q", odd)
	}
	if runs := names(&bulkheadv1.ListSandboxesRequest{States: []bulkheadv1.SandboxState{running}}); len(runs) != 1 || runs[0] != "runs" {
		t.Errorf("running: %q", runs)
	}
	for _, r := range []*bulkheadv1.ListSandboxesRequest{{PageSize: 1001}, {PageToken: "!"}, {PageToken: "eA"}, {LabelSelector: "="}} {
		_, err := f.List(r)
		f.kindIs(err, fault.Invalid, fault.ReasonInvalid)
	}
}

// seen collects what a watcher is told.
func (f *fixture) watch(r *bulkheadv1.WatchSandboxesRequest) (next func() *bulkheadv1.WatchSandboxesResponse, stop func() error) {
	ctx, cancel := context.WithCancel(f.t.Context())
	events, done := make(chan *bulkheadv1.WatchSandboxesResponse), make(chan error, 1)
	go func() {
		done <- f.Watch(ctx, r, func(e *bulkheadv1.WatchSandboxesResponse) error {
			select {
			case events <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	next = func() *bulkheadv1.WatchSandboxesResponse {
		f.t.Helper()
		select {
		case e := <-events:
			return e
		case err := <-done:
			f.t.Fatalf("the watch ended: %v", err)
		case <-time.After(20 * time.Second):
			f.t.Fatal("nothing is told")
		}
		return nil
	}
	return next, func() error { cancel(); return <-done }
}

func TestWatch(t *testing.T) {
	f := open(t)
	f.create("a", &bulkheadv1.SandboxSpec{Labels: map[string]string{"k": "v"}})
	f.create("b", nil)
	next, stop := f.watch(&bulkheadv1.WatchSandboxesRequest{LabelSelector: "k=v"})
	if e := next(); e.GetType() != bulkheadv1.EventType_EVENT_TYPE_ADDED || e.GetSandbox().GetName() != "a" {
		t.Errorf("first: %v", e)
	}
	mark := next()
	if mark.GetType() != bulkheadv1.EventType_EVENT_TYPE_BOOKMARK {
		t.Errorf("second: %v", mark)
	}
	_, err := f.Start(t.Context(), "a")
	f.must(err)
	_, err = f.Start(t.Context(), "b")
	f.must(err)
	f.must(f.Delete(t.Context(), "a", "", true))
	var told []string
	var versions []uint64
	for e := next(); ; e = next() {
		told, versions = append(told, e.GetMessage()), append(versions, e.GetResourceVersion())
		if e.GetSandbox().GetName() != "a" {
			t.Errorf("of another sandbox: %v", e)
		}
		if e.GetType() == bulkheadv1.EventType_EVENT_TYPE_DELETED {
			break
		}
	}
	if told[0] != "starting" || told[len(told)-1] != "deleted" {
		t.Errorf("told %q", told)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("the watch ended with %v", err)
	}
	// From each version on, the rest is told once more.
	for i, v := range versions[:len(versions)-1] {
		next, stop := f.watch(&bulkheadv1.WatchSandboxesRequest{ResourceVersion: proto.Uint64(v), Name: "a"})
		for _, want := range told[i+1:] {
			if e := next(); e.GetMessage() != want {
				t.Errorf("after version %d: %q, want %q", v, e.GetMessage(), want)
			}
		}
		stop()
	}
	err = f.Watch(t.Context(), &bulkheadv1.WatchSandboxesRequest{ResourceVersion: proto.Uint64(1 << 40)}, nil)
	f.kindIs(err, fault.OutOfRange, fault.ReasonForgotten)
}
