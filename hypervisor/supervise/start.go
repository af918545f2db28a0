package supervise

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
)

// Options change how a worker is started.
type Options struct {
	// Path of the bulkhead-vmm binary.
	Path string
	// Tied workers end with this process, however it ends.
	Tied bool
	// Console takes the guest's console output. nil: nobody reads it.
	Console *os.File
	// Contain is called with the process's ID before it is asked anything. nil:
	// it stays where its parent is.
	Contain func(pid int) error
}

// Start starts a worker in the bundle. The caller ends it with Shutdown, or lets
// go of it with Detach. Either way a goroutine waits for its end, for as long as it
// lives and this process does.
func Start(b *Bundle, o Options) (*Worker, error) {
	w := &Worker{bundle: b}
	cmd, err := w.spawn(o)
	if err != nil {
		w.lifeline.Close() // nil is fine
		return nil, fmt.Errorf("start the worker: %w", err)
	}
	if w.process, err = openProcess(cmd.Process.Pid); err != nil {
		return nil, errors.Join(fmt.Errorf("start the worker: %w", err), cmd.Process.Kill(), cmd.Wait())
	}
	w.process.cmd = cmd
	go w.process.watch()
	if err := w.begin(o); err != nil {
		err = errors.Join(fmt.Errorf("start the worker: %w", err), w.process.kill(), w.process.close())
		w.lifeline.Close()
		return nil, err
	}
	return w, nil
}

func (w *Worker) begin(o Options) error {
	if err := w.bundle.writeID(w.process.Identity); err != nil { // before all else: it lives
		return err
	}
	if o.Contain != nil {
		if err := o.Contain(w.process.PID); err != nil {
			return err
		}
	}
	return w.connect()
}

// spawn makes the socket, which takes calls before the worker does, and starts
// the process in a session of its own, where the terminal's signals don't go.
func (w *Worker) spawn(o Options) (*exec.Cmd, error) {
	control, err := w.listen()
	if err != nil {
		return nil, err
	}
	defer control.Close()
	log, err := os.Create(w.bundle.Path(logName))
	if err != nil {
		return nil, err
	}
	defer log.Close()

	c := &inheritance{Cmd: exec.Command(o.Path)}
	c.Stderr = log
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.pass("control-fd", control)
	c.pass("", w.bundle.lock) // the bundle stays locked as long as the worker lives
	if o.Console != nil {
		c.pass("console-fd", o.Console)
	}
	if o.Tied {
		read, write, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		defer read.Close()
		c.pass("lifeline-fd", read)
		w.lifeline = write
	}
	return c.Cmd, c.Start()
}

func (w *Worker) listen() (*os.File, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.bundle.Path(controlName), Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	defer l.Close()
	return l.File()
}

// inheritance is a command that is given descriptors.
type inheritance struct{ *exec.Cmd }

// pass lets the command inherit f and tells it so by the named flag.
func (c *inheritance) pass(flag string, f *os.File) {
	if flag != "" {
		c.Args = append(c.Args, fmt.Sprintf("-%s=%d", flag, 3+len(c.ExtraFiles)))
	}
	c.ExtraFiles = append(c.ExtraFiles, f)
}
