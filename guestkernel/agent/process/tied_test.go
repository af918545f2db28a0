package process

import (
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/stdio"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
)

// TestTiedEndsWithTheHost has a group of two that ignores what can be ignored.
func TestTiedEndsWithTheHost(t *testing.T) {
	const script = "trap '' HUP PIPE TERM; sleep 30 & echo $!; while :; do sleep 0.01; done"
	tests := []struct {
		name string
		spec Spec
	}{
		{"no input", Spec{}},
		{"input", Spec{Stdin: true}},
		{"terminal", Spec{Terminal: &stdio.Size{Rows: 24, Columns: 80}}},
	}
	g := theGuest()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.Tied, tt.spec.Args = true, []string{"sh", "-c", script}
			r := g.mustStart(t, tt.spec)
			child := r.number(t)
			if tt.spec.Terminal == nil { // there it is typed
				r.out.CloseWrite()
			}
			time.Sleep(20 * time.Millisecond)
			if err := unix.Kill(r.pid, 0); err != nil {
				t.Errorf("after a half-close: %v", err)
			}
			r.out.Close()
			if st := g.wait(t, r); st.Signal != int(unix.SIGKILL) {
				t.Errorf("status is %+v", st)
			}
			gone(t, r.pid)
			gone(t, child)
		})
	}
}

// number reads a line with a process's number.
func (r *running) number(t testing.TB) int {
	t.Helper()
	var line strings.Builder
	for b := make([]byte, 1); b[0] != '\n'; line.Write(b) {
		if _, err := io.ReadFull(r.out, b); err != nil {
			t.Fatal(err)
		}
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line.String()))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestUntiedOutlivesTheHost(t *testing.T) {
	g := theGuest()
	r := g.mustStart(t, Spec{Args: []string{"cat"}, Stdin: true})
	r.out.Close()
	if st := g.wait(t, r); st.Code != 0 { // at its end of file
		t.Errorf("status is %+v", st)
	}
}

// TestTiedLeavesWhatTheProcessLeft: a process that has ended is nobody's
// concern any more, nor is what it left in its group.
func TestTiedLeavesWhatTheProcessLeft(t *testing.T) {
	g := theGuest()
	r := g.mustStart(t, Spec{Args: []string{"sh", "-c", "sleep 30 >/dev/null 2>&1 & echo $!"}, Tied: true})
	child := r.number(t)
	r.read(t, r.out) // and close
	g.wait(t, r)
	time.Sleep(20 * time.Millisecond)
	if err := unix.Kill(child, unix.SIGKILL); err != nil {
		t.Errorf("the child that was left: %v", err)
	}
	gone(t, child)
}

// TestKillAfterTheEnd: the number may be somebody else's by now.
func TestKillAfterTheEnd(t *testing.T) {
	table := NewTable(streams.NewHub(), Anywhere)
	g := theGuest()
	other := g.mustStart(t, Spec{Args: []string{"sleep", "30"}})
	ended := &process{pid: other.pid}
	table.kill(ended) // not in the table
	table.byPID[other.pid] = &process{pid: other.pid}
	table.kill(ended)      // another is
	table.kill(&process{}) // was never started
	if err := g.Signal(other.id, int(unix.SIGTERM), false); err != nil {
		t.Error(err)
	}
	if st := g.wait(t, other); st.Signal != int(unix.SIGTERM) {
		t.Errorf("somebody else was killed: %+v", st)
	}
}
