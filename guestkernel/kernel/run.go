package kernel

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// tailLines is how much of the log an error shows.
const tailLines = 20

// runner runs tools, with their output in a log.
type runner struct {
	log  *os.File
	tail []string // last lines of the log
}

func newRunner(path string) (*runner, error) {
	log, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("build log: %w", err)
	}
	return &runner{log: log}, nil
}

func (r *runner) close() { _ = r.log.Close() }

// command is one run of a tool.
type command struct {
	dir    string
	env    []string // beside the caller's
	stdin  io.Reader
	onLine func(string) // sees each line of output; may be nil
	args   []string
}

// run runs c. Its error shows the end of the log. The tool and its children
// die with ctx.
func (r *runner) run(ctx context.Context, c command) error {
	fmt.Fprintf(r.log, "+ %s\n", strings.Join(c.args, " "))
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin = c.dir, append(os.Environ(), c.env...), c.stdin
	out := &lines{emit: func(line string) { r.record(line, c.onLine) }}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	runtime.LockOSThread() // Pdeathsig watches the thread that starts the tool
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	out.flush()
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", c.args[0], context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("%s: %w; the log %s ends with:\n%s", c.args[0], err, r.log.Name(), strings.Join(r.tail, "\n"))
	}
	return nil
}

func (r *runner) record(line string, onLine func(string)) {
	fmt.Fprintln(r.log, line) // a full disk shows in the tool's own error too
	r.tail = append(r.tail, line)
	if len(r.tail) > tailLines {
		r.tail = r.tail[1:]
	}
	if onLine != nil {
		onLine(line)
	}
}

// lines cuts what is written to it into lines.
type lines struct {
	emit func(string)
	rest []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.emit(string(line))
		l.rest = rest
	}
}

func (l *lines) flush() {
	if len(l.rest) > 0 {
		l.emit(string(l.rest))
	}
	l.rest = nil
}
