package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/ttrpc"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Names in a bundle.
const (
	controlName = "worker.sock"
	logName     = "worker.log"
)

// Options change how a worker is started.
type Options struct {
	// Path of the bulkhead-vmm binary.
	Path string
	// Tied workers end with this process, however it ends.
	Tied bool
	// Console takes the guest's console output. nil: nobody reads it.
	Console *os.File
}

// Worker is a running worker process.
type Worker struct {
	// API controls its machine. Calls fail with ttrpc.ErrClosed once the
	// process is gone.
	API vmmv1.WorkerService

	bundle   *Bundle
	client   *ttrpc.Client
	cmd      *exec.Cmd
	lifeline *os.File // nil if not tied
	exited   chan struct{}
}

// Start starts a worker in the bundle. The caller ends it with Shutdown.
func Start(b *Bundle, o Options) (*Worker, error) {
	w := &Worker{bundle: b, exited: make(chan struct{})}
	if err := w.start(o); err != nil {
		w.lifeline.Close() // nil is fine
		return nil, fmt.Errorf("start the worker: %w", err)
	}
	go func() {
		w.cmd.Wait() // the process's state says how it went
		close(w.exited)
	}()
	conn, err := net.Dial("unix", b.Path(controlName))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reach the worker: %w", err), w.kill())
	}
	w.client = ttrpc.NewClient(conn)
	w.API = vmmv1.NewWorkerClient(w.client)
	return w, nil
}

// start makes the socket, which takes calls before the worker does, and starts
// the process in a session of its own, where the terminal's signals don't go.
func (w *Worker) start(o Options) error {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.bundle.Path(controlName), Net: "unix"})
	if err != nil {
		return err
	}
	listener.SetUnlinkOnClose(false)
	defer listener.Close()
	control, err := listener.File()
	if err != nil {
		return err
	}
	defer control.Close()
	log, err := os.Create(w.bundle.Path(logName))
	if err != nil {
		return err
	}
	defer log.Close()

	w.cmd = exec.Command(o.Path)
	w.cmd.Stderr = log
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	w.pass("control-fd", control)
	w.pass("", w.bundle.lock) // the bundle stays locked as long as the worker lives
	if o.Console != nil {
		w.pass("console-fd", o.Console)
	}
	if o.Tied {
		read, write, err := os.Pipe()
		if err != nil {
			return err
		}
		defer read.Close()
		w.pass("lifeline-fd", read)
		w.lifeline = write
	}
	return w.cmd.Start()
}

// pass lets the worker inherit f and tells it so by the named flag.
func (w *Worker) pass(flag string, f *os.File) {
	if flag != "" {
		w.cmd.Args = append(w.cmd.Args, fmt.Sprintf("-%s=%d", flag, 3+len(w.cmd.ExtraFiles)))
	}
	w.cmd.ExtraFiles = append(w.cmd.ExtraFiles, f)
}

// Explain turns an error of an API call into what happened: if the worker is
// gone, how it went and what it said last.
func (w *Worker) Explain(err error) error {
	if !errors.Is(err, ttrpc.ErrClosed) {
		return err
	}
	select {
	case <-w.exited:
	case <-time.After(time.Second):
		return fmt.Errorf("the worker closed its control socket: %w", err)
	}
	status, _ := w.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if last := w.lastWords(); last != "" && !status.Signaled() {
		return fmt.Errorf("the worker is gone (%v): %s", w.cmd.ProcessState, last)
	}
	return fmt.Errorf("the worker is gone (%v): somebody killed it, or the host ran out of memory (see dmesg)", w.cmd.ProcessState)
}

// maxLastWords bounds what is read of a worker's log.
const maxLastWords = 16 << 10

// lastWords returns the line of the worker's log that says most: a crash's
// first, or else the last.
func (w *Worker) lastWords() string {
	f, err := os.Open(w.bundle.Path(logName))
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, maxLastWords)
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	n, err := f.ReadAt(b, max(0, info.Size()-maxLastWords))
	if err != nil && err != io.EOF {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b[:n])), "\n")
	for _, line := range lines {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return line
		}
	}
	return lines[len(lines)-1]
}

// Shutdown ends the machine and the worker: politely until ctx is done, then
// by SIGKILL. The process is gone on return.
func (w *Worker) Shutdown(ctx context.Context) error {
	_, err := w.API.Shutdown(ctx, &vmmv1.ShutdownRequest{})
	if err == nil {
		select {
		case <-w.exited:
		case <-ctx.Done():
		}
	}
	return errors.Join(w.client.Close(), w.kill())
}

// PID returns the worker's process ID, which is its own until Shutdown.
func (w *Worker) PID() int { return w.cmd.Process.Pid }

// kill makes sure that the process is gone.
func (w *Worker) kill() error {
	if err := w.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill the worker: %w", err)
	}
	<-w.exited
	w.lifeline.Close() // nil is fine
	return nil
}
