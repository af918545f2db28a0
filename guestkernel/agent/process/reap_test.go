package process

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/stdio"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

func TestOrphansAreReaped(t *testing.T) {
	out, _, _ := theGuest().run(t, sh("(sleep 0.05 & echo $!) "))
	pid, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
}

func TestBackgroundChildDoesNotHoldUpTheEnd(t *testing.T) {
	g := theGuest()
	begin := time.Now()
	out, _, st := g.run(t, sh("sleep 30 & echo $!; exit 4"))
	if took := time.Since(begin); took > 10*time.Second || st.Code != 4 {
		t.Errorf("code %d after %v", st.Code, took)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Error(err)
	}
	gone(t, pid)
}

// TestManyAtOnce has starts, ends and orphans race.
func TestManyAtOnce(t *testing.T) {
	g := theGuest()
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			switch i % 4 {
			case 0:
				if _, err := g.start(t, Spec{Args: []string{"/no/such"}}); err == nil {
					t.Error("started nothing")
				}
			case 1:
				g.run(t, sh("(true &) ; (true &)"))
			default:
				out, _, st := g.run(t, sh(fmt.Sprintf("echo %d; exit %d", i, i)))
				if out != fmt.Sprintln(i) || st.Code != i {
					t.Errorf("process %d: %q, code %d", i, out, st.Code)
				}
			}
		})
	}
	wg.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := g.WaitEmpty(ctx); err != nil {
		t.Errorf("children are left: %v", err)
	}
	if err := g.WaitSent(ctx); err != nil {
		t.Errorf("output is left: %v", err)
	}
}

func TestStatus(t *testing.T) {
	g := theGuest()
	_, _, st := g.run(t, sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; kill -TERM $$"))
	if st.Code != 143 || st.Signal != 15 || st.User+st.System <= 0 || st.MaxRSS < 100<<10 {
		t.Errorf("status is %+v", st)
	}
}

func TestWaitByMany(t *testing.T) {
	g := theGuest()
	r := g.mustStart(t, Spec{Args: []string{"cat"}, Stdin: true})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := g.Wait(ctx, r.id); err == nil {
		t.Error("a running process has ended")
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { g.wait(t, r) })
	}
	r.out.CloseWrite()
	wg.Wait()
	if _, err := g.Wait(t.Context(), "nobody"); fail.KindOf(err) != fail.NotFound {
		t.Errorf("Wait for nobody: %v", err)
	}
}

// TestStreamsOfTheEnded: who comes too late finds their end, and not nothing.
func TestStreamsOfTheEnded(t *testing.T) {
	g := theGuest()
	r := g.mustStart(t, Spec{Args: []string{"true"}})
	r.read(t, r.out)
	r.read(t, r.err)
	g.wait(t, r)
	for _, name := range []string{streams.Stdio, streams.Stderr} {
		begin := time.Now()
		if out := r.read(t, g.connect(t, r.id, name)); out != "" || time.Since(begin) > 5*time.Second {
			t.Errorf("%s of a process that has ended says %q after %v", name, out, time.Since(begin))
		}
	}
}

func TestSignal(t *testing.T) {
	g := theGuest()
	r := g.mustStart(t, sh("trap 'echo got it; exit 5' USR1; echo ready; while :; do sleep 0.01; done"))
	if _, err := io.ReadFull(r.out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	for _, signal := range []int{-1, 0, 65, 1 << 30} {
		if err := g.Signal(r.id, signal, false); fail.KindOf(err) != fail.Invalid {
			t.Errorf("signal %d: %v", signal, err)
		}
	}
	if err := g.Signal(r.id, int(unix.SIGUSR1), false); err != nil {
		t.Fatal(err)
	}
	if out := r.read(t, r.out); out != "got it\n" {
		t.Errorf("wrote %q", out)
	}
	if st := g.wait(t, r); st.Code != 5 {
		t.Errorf("status is %+v", st)
	}
	if err := g.Signal(r.id, 9, true); fail.KindOf(err) != fail.Untimely {
		t.Errorf("signal after the end: %v", err)
	}
	if err := g.Signal("nobody", 9, false); fail.KindOf(err) != fail.NotFound {
		t.Errorf("signal to nobody: %v", err)
	}
}

func TestSignalGroup(t *testing.T) {
	g := theGuest()
	r := g.mustStart(t, sh("sleep 30 & echo $!; wait"))
	buf := make([]byte, 20)
	n, err := r.out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Signal(r.id, int(unix.SIGKILL), true); err != nil {
		t.Fatal(err)
	}
	gone(t, child)
	gone(t, r.pid)
}

func TestTerminal(t *testing.T) {
	g := theGuest()
	r := g.mustStart(t, Spec{
		Args:     []string{"sh", "-c", "trap 'stty size; exit' WINCH; tty >/dev/null && stty size && echo $TERM && ls -l $(tty) | cut -d' ' -f3; while :; do sleep 0.01; done"},
		Terminal: &stdio.Size{Rows: 24, Columns: 80},
		User:     "1234",
	})
	want := "24 80\r\nxterm-256color\r\n1234\r\n"
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r.out, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v", got[:n], err)
	}
	if err := g.Resize(r.id, stdio.Size{Rows: 50, Columns: 132}); err != nil {
		t.Error(err)
	}
	if out := r.read(t, r.out); out != "50 132\r\n" {
		t.Errorf("after the change of size: %q", out)
	}
	g.wait(t, r)
	if err := g.Resize(r.id, stdio.Size{}); fail.KindOf(err) != fail.Untimely {
		t.Errorf("Resize after the end: %v", err)
	}
}

// TestTerminalControls types an interrupt, which needs a controlling terminal.
func TestTerminalControls(t *testing.T) {
	g := theGuest()
	r := g.mustStart(t, Spec{Args: []string{"sh", "-c", "echo ready; exec sleep 30"}, Terminal: &stdio.Size{}})
	if _, err := io.ReadFull(r.out, make([]byte, len("ready\r\n"))); err != nil {
		t.Fatal(err)
	}
	if _, err := r.out.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	if st := g.wait(t, r); st.Signal != int(unix.SIGINT) {
		t.Errorf("status is %+v", st)
	}
}

func TestAdopt(t *testing.T) {
	g := theGuest()
	done, err := g.Adopt(func() (int, error) {
		c := command{paths: []string{"/bin/true"}, args: []string{"true"}}
		return c.start()
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("the end wasn't seen")
	}
}

// TestEndedAreBounded needs no processes.
func TestEndedAreBounded(t *testing.T) {
	table := NewTable(streams.NewHub(), Anywhere)
	for i := range maxEnded + 10 {
		p, err := table.reserve(fmt.Sprint("p", i))
		if err != nil {
			t.Fatal(err)
		}
		table.remember(p.id)
	}
	if len(table.ended) != maxEnded || len(table.byID) != maxEnded || table.Live() != 0 {
		t.Errorf("%d ended, %d known, %d live", len(table.ended), len(table.byID), table.Live())
	}
	for i := range maxLive {
		if _, err := table.reserve(fmt.Sprint("live", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := table.reserve("one more"); fail.KindOf(err) != fail.Exhausted {
		t.Errorf("one process more than may be: %v", err)
	}
	table.Close()
	if _, err := table.reserve("late"); fail.KindOf(err) != fail.Untimely {
		t.Errorf("a process after Close: %v", err)
	}
}
