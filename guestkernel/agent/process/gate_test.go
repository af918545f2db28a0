package process

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

func (g *guest) shut(t *testing.T) {
	t.Helper()
	for range 2 {
		if err := g.Shut(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGate(t *testing.T) {
	g := theGuest()
	g.shut(t)
	started := make(chan string, 1)
	go func() {
		out, _, _ := g.run(t, sh("echo on"))
		started <- out
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := g.Start(ctx, Spec{ID: "impatient", Args: []string{"true"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Start = %v", err)
	}
	select {
	case out := <-started:
		t.Errorf("a process was started, and wrote %q", out)
	default:
	}
	for range 2 {
		g.Open(false)
	}
	if out := <-started; out != "on\n" {
		t.Errorf("it wrote %q", out)
	}
}

// TestGateOfAnotherMachine has one start wait for the gate, and one that had got its
// streams before it was shut.
func TestGateOfAnotherMachine(t *testing.T) {
	g := theGuest()
	live := g.Live()
	g.shut(t)
	failed := make(chan error, 2)
	go func() {
		_, err := g.start(t, sh("echo on"))
		failed <- err
	}()
	go func() {
		failed <- g.fork(t.Context(), &process{}, func(int) (int, error) { return 0, errors.New("it forks") })
	}()
	time.Sleep(20 * time.Millisecond)
	g.Open(true)
	for range 2 {
		if err := <-failed; fail.KindOf(err) != fail.Cut {
			t.Errorf("start = %v", err)
		}
	}
	if got := g.Live(); got != live {
		t.Errorf("%d processes are counted, want %d", got, live)
	}
	g.run(t, sh("true")) // and the next is started
}

// TestShutWaitsForForks has one that takes its time.
func TestShutWaitsForForks(t *testing.T) {
	table := NewTable(streams.NewHub(), Anywhere)
	release, forking := make(chan struct{}), make(chan struct{})
	forked := make(chan error, 1)
	go func() {
		forked <- table.fork(t.Context(), &process{}, func(int) (int, error) {
			close(forking)
			<-release
			return 0, unix.ENOENT
		})
	}()
	<-forking
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := table.Shut(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shut = %v", err)
	}
	if table.gate != nil {
		t.Error("the gate is left shut")
	}
	time.AfterFunc(10*time.Millisecond, func() { close(release) })
	if err := table.Shut(t.Context()); err != nil {
		t.Errorf("Shut = %v", err)
	}
	if err := <-forked; !errors.Is(err, unix.ENOENT) {
		t.Errorf("fork = %v", err)
	}
}

func TestInto(t *testing.T) {
	calls := 0
	table := NewTable(streams.NewHub(), func(fork func(int) error) error {
		calls++
		return fork(7)
	})
	err := table.fork(t.Context(), &process{}, func(cgroup int) (int, error) {
		if cgroup != 7 {
			t.Errorf("the cgroup is %d", cgroup)
		}
		return 0, unix.EAGAIN
	})
	if !errors.Is(err, unix.EAGAIN) || calls != 1 {
		t.Errorf("fork = %v after %d calls", err, calls)
	}
}

func TestFlush(t *testing.T) {
	g := theGuest()
	r := g.mustStart(t, sh("echo words; echo more >&2; exec sleep 30"))
	for range 3 {
		if err := g.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	slow := g.mustStart(t, sh("while :; do echo 0123456789abcdef0123456789abcdef; done"))
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := g.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Flush with a host that doesn't read = %v", err)
	}
	for _, p := range []*running{r, slow} {
		if err := g.Signal(p.id, int(unix.SIGKILL), false); err != nil {
			t.Error(err)
		}
		p.out.Close()
		p.err.Close()
		g.wait(t, p)
	}
}
