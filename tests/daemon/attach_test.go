package daemon

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// commandLine is a running client, mostly in a terminal.
type commandLine struct {
	*host
	cmd *exec.Cmd
	tty *os.File
	log *lines
}

// inTerminal starts a client in a terminal of a size.
func (h *host) inTerminal(rows, columns uint16, args ...string) *commandLine {
	h.t.Helper()
	c := &commandLine{host: h, cmd: h.cliCommand(args...), log: new(lines)}
	tty, err := pty.StartWithSize(c.cmd, &pty.Winsize{Rows: rows, Cols: columns})
	h.must(err)
	c.tty = tty
	go io.Copy(c.log, tty) // until the client ends
	h.t.Cleanup(func() {
		c.cmd.Process.Kill()
		c.cmd.Wait()
		tty.Close()
	})
	return c
}

func (h *host) cliCommand(args ...string) *exec.Cmd {
	cmd := exec.Command(h.cli, args...)
	cmd.Env = append(os.Environ(), "BULKHEAD_HOST=unix://"+h.socket())
	return cmd
}

// types types keys, and waits until the terminal shows words.
func (c *commandLine) types(keys, want string) {
	c.t.Helper()
	_, err := io.WriteString(c.tty, keys)
	c.must(err)
	c.shows(want)
}

func (c *commandLine) shows(want string) {
	c.t.Helper()
	for began := time.Now(); !strings.Contains(c.log.String(), want); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			c.t.Fatalf("the terminal doesn't show %q:\n%q", want, c.log)
		}
	}
}

// ends waits until the client has ended, with a code.
func (c *commandLine) ends(code int) {
	c.t.Helper()
	ended := make(chan struct{})
	go func() {
		c.cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		c.t.Fatalf("the client doesn't end:\n%q", c.log)
	}
	if got := c.cmd.ProcessState.ExitCode(); got != code {
		c.t.Errorf("exit code %d, want %d:\n%q", got, code, c.log)
	}
}

func (h *host) mustRun(name string) {
	h.t.Helper()
	r, err := h.dial().GetSandbox(context.Background(), &bulkheadv1.GetSandboxRequest{Name: name})
	h.must(err)
	if s := r.GetSandbox().GetStatus().GetState(); s != bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING {
		h.t.Errorf("%s is %v", name, s)
	}
}

// TestAttachTerminal comes to a shell, with a terminal of another size than the one
// that it was made from, leaves it, and comes back to end it.
func TestAttachTerminal(t *testing.T) {
	h := newHost(t, "")
	d := h.start()
	h.must(h.cliCommand("run", "-dit", "--name", "shell", "--", "sh").Run())
	c := h.inTerminal(33, 111, "attach", "shell")
	c.types("until [ \"$(stty size)\" = '33 111' ]; do sleep 0.1; done; echo 'size is'' right'\n", "size is right")
	h.must(pty.Setsize(c.tty, &pty.Winsize{Rows: 44, Cols: 99}))
	c.types("until [ \"$(stty size)\" = '44 99' ]; do sleep 0.1; done; echo 'size has'' changed'\n", "size has changed")
	c.types("\x10\x11", "detached from shell")
	c.ends(0)
	h.mustRun("shell")

	c = h.inTerminal(33, 111, "attach", "--detach-keys", "ctrl-x", "shell")
	c.types("echo 'back'' again'\n", "back again")
	c.types("\x18", "detached from shell")
	c.ends(0)

	c = h.inTerminal(33, 111, "attach", "--no-stdin", "--logs", "shell")
	c.shows("back again")
	c.types("\x03", "left by a signal")
	c.ends(130)
	h.mustRun("shell")

	c = h.inTerminal(33, 111, "attach", "shell")
	c.types("echo 'there'' still'; sleep 0.5; exit 7\n", "there still")
	c.ends(7)
	h.clear(h.dial())
	d.stop()
}

// TestAttachWithoutTerminal: who has none leaves a command with one by a signal. One
// without a terminal gets the first signal, and goes on when the client is ended by
// the second.
func TestAttachWithoutTerminal(t *testing.T) {
	h := newHost(t, "")
	d := h.start()
	h.must(h.cliCommand("run", "-dit", "--name", "shell", "--", "sh", "-c", "echo ready; sleep 60").Run())
	h.must(h.cliCommand("run", "-di", "--name", "plain", "--", "sh", "-c", `trap "echo heard" INT; echo ready; while :; do sleep 0.1; done`).Run())
	for name, signals := range map[string]int{"shell": 1, "plain": 2} {
		c := &commandLine{host: h, cmd: h.cliCommand("attach", "--logs", name), log: new(lines)}
		c.cmd.Stdout = c.log
		input, err := c.cmd.StdinPipe()
		h.must(err)
		h.must(c.cmd.Start())
		c.shows("ready")
		for i := range signals {
			if i > 0 {
				c.shows("heard")
			}
			h.must(c.cmd.Process.Signal(syscall.SIGINT))
		}
		c.ends(130)
		input.Close()
		h.mustRun(name)
	}
	h.clear(h.dial())
	d.stop()
}

// TestAttachExitCodes are those that docker has, and Bulkhead's own where the sandbox
// ended first.
func TestAttachExitCodes(t *testing.T) {
	h := newHost(t, "")
	d := h.start()
	for i, tt := range []struct {
		script string
		code   int
	}{{"exit 3", 3}, {"kill -9 $$", 137}, {"kill -15 $$", 143}, {"", 125}} {
		name := fmt.Sprint("box", i)
		if tt.code == 125 {
			tt.script = "sleep 60"
		}
		script := "echo ready; until [ -e " + h.path(name) + " ]; do sleep 0.05; done; " + tt.script
		h.must(h.cliCommand("run", "-d", "--name", name, "--", "sh", "-c", script).Run())
		c := &commandLine{host: h, cmd: h.cliCommand("attach", "--logs", name), log: new(lines)}
		c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
		h.must(c.cmd.Start())
		c.shows("ready")
		if tt.code == 125 {
			h.must(h.cliCommand("kill", name).Run())
		}
		h.must(os.WriteFile(h.path(name), nil, 0o600)) // fake guests see it
		c.ends(tt.code)
	}
	h.clear(h.dial())
	d.stop()
}

// TestStatsOnAScreen: each table takes the place of the last.
func TestStatsOnAScreen(t *testing.T) {
	h := newHost(t, "")
	d := h.start()
	c := h.inTerminal(24, 80, "stats")
	for began := time.Now(); strings.Count(c.log.String(), "\x1b[H\x1b[JNAME") < 2; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("no second table: %q", c.log)
		}
	}
	d.stop()
}

// TestFollowOverRestart: whoever follows a log doesn't hear of the daemon's restart,
// and misses no line.
func TestFollowOverRestart(t *testing.T) {
	h := newHost(t, "")
	d := h.start()
	h.must(h.cliCommand("run", "-d", "--name", "count", "--", "sh", "-c", "i=0; while [ $i -lt 60 ]; do echo line $i; i=$((i+1)); sleep 0.1; done").Run())
	c := &commandLine{host: h, cmd: h.cliCommand("logs", "-f", "count"), log: new(lines)}
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	h.must(c.cmd.Start())
	c.shows("line 5\n")
	d.stop()
	d = h.start()
	c.ends(0)
	var want strings.Builder
	for i := range 60 {
		fmt.Fprintln(&want, "line", i)
	}
	if got := c.log.String(); got != want.String() {
		t.Errorf("%q", got)
	}
	h.clear(h.dial())
	d.stop()
}
