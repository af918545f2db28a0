package client

import (
	"context"
	"errors"
	"io"
	"sync"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// maxInput is how much input a message carries.
const maxInput = 32 << 10

// errNoExit is a node's fault.
var errNoExit = errors.New("the node ended the call without saying how the command ended")

// Process is a command in a sandbox. Its streams are those of the call that Exec
// or Attach made, and end with it.
type Process struct {
	// Stdin takes its input; its Close is the end of file.
	Stdin io.WriteCloser
	// Stdout and Stderr carry its output, and end with it. Both must be read: the
	// command waits for who doesn't.
	Stdout, Stderr io.Reader

	client      *Client
	sandbox, id string
	stdout      *io.PipeWriter
	stderr      *io.PipeWriter
	done        chan struct{} // closed when exit and err are set
	exit        *bulkheadv1.ProcessExit
	err         error
}

// Exec runs a command in a sandbox, until ctx is done. It returns when the command
// has started.
func (c *Client) Exec(ctx context.Context, sandbox string, command *bulkheadv1.Command) (*Process, error) {
	stream, err := c.Processes.Exec(ctx)
	if err != nil {
		return nil, err
	}
	start := &bulkheadv1.ExecStart{Sandbox: sandbox, Command: command}
	err = stream.Send(&bulkheadv1.ExecRequest{Request: &bulkheadv1.ExecRequest_Start{Start: start}})
	if err != nil && !errors.Is(err, io.EOF) { // then Recv says why
		return nil, err
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	p := c.newProcess(sandbox, first.GetStarted().GetProcessId(), &execInput{stream: stream})
	go p.run(func() (stdout, stderr []byte, exit *bulkheadv1.ProcessExit, err error) {
		m, err := stream.Recv()
		return m.GetStdout(), m.GetStderr(), m.GetExit(), err
	})
	return p, nil
}

// Attach connects to a sandbox's own command, until ctx is done. With logs, what
// it has written so far comes first.
func (c *Client) Attach(ctx context.Context, sandbox string, logs bool) (*Process, error) {
	stream, err := c.Processes.Attach(ctx)
	if err != nil {
		return nil, err
	}
	start := &bulkheadv1.AttachStart{Sandbox: sandbox, Logs: logs}
	err = stream.Send(&bulkheadv1.AttachRequest{Request: &bulkheadv1.AttachRequest_Start{Start: start}})
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	p := c.newProcess(sandbox, first.GetStarted().GetProcessId(), &attachInput{stream: stream})
	go p.run(func() (stdout, stderr []byte, exit *bulkheadv1.ProcessExit, err error) {
		m, err := stream.Recv()
		return m.GetStdout(), m.GetStderr(), m.GetExit(), err
	})
	return p, nil
}

func (c *Client) newProcess(sandbox, id string, stdin io.WriteCloser) *Process {
	p := &Process{client: c, sandbox: sandbox, id: id, Stdin: stdin, done: make(chan struct{})}
	p.Stdout, p.stdout = io.Pipe()
	p.Stderr, p.stderr = io.Pipe()
	return p
}

// run takes what comes until the end.
func (p *Process) run(next func() (stdout, stderr []byte, exit *bulkheadv1.ProcessExit, err error)) {
	defer close(p.done)
	defer p.stdout.Close()
	defer p.stderr.Close()
	for {
		stdout, stderr, exit, err := next()
		if err != nil {
			if p.exit == nil && errors.Is(err, io.EOF) {
				err = errNoExit
			}
			if p.exit == nil {
				p.err = err
			}
			return
		}
		if exit != nil {
			p.exit = exit
		}
		write(p.stdout, stdout)
		write(p.stderr, stderr)
	}
}

// write waits until all of b was read: of nothing, too, but for that nobody need
// come. Who doesn't want it has closed its end.
func write(w *io.PipeWriter, b []byte) {
	if len(b) > 0 {
		w.Write(b)
	}
}

// Wait waits for the command's end, once all its output was read.
func (p *Process) Wait() (*bulkheadv1.ProcessExit, error) {
	<-p.done
	return p.exit, p.err
}

// Done is closed when Wait doesn't have to.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends a signal to the command and its process group.
func (p *Process) Signal(ctx context.Context, signal int) error {
	_, err := p.client.Processes.SignalProcess(ctx, &bulkheadv1.SignalProcessRequest{Sandbox: p.sandbox, ProcessId: p.id, Signal: int32(signal)})
	return err
}

// Resize changes the size of the command's terminal.
func (p *Process) Resize(ctx context.Context, size *bulkheadv1.TerminalSize) error {
	_, err := p.client.Processes.ResizeProcess(ctx, &bulkheadv1.ResizeProcessRequest{Sandbox: p.sandbox, ProcessId: p.id, Size: size})
	return err
}

// execInput is the input of a command that was run by Exec.
type execInput struct {
	sending sync.Mutex
	stream  bulkheadv1.Processes_ExecClient
}

// Write implements io.Writer. It returns io.EOF once the command has ended.
func (i *execInput) Write(p []byte) (int, error) {
	return writeChunks(p, func(chunk []byte) error {
		i.sending.Lock()
		defer i.sending.Unlock()
		return i.stream.Send(&bulkheadv1.ExecRequest{Request: &bulkheadv1.ExecRequest_Stdin{Stdin: chunk}})
	})
}

// Close implements io.Closer.
func (i *execInput) Close() error {
	i.sending.Lock()
	defer i.sending.Unlock()
	return i.stream.Send(&bulkheadv1.ExecRequest{Request: &bulkheadv1.ExecRequest_CloseStdin{CloseStdin: &bulkheadv1.CloseStdin{}}})
}

// attachInput is the same for Attach.
type attachInput struct {
	sending sync.Mutex
	stream  bulkheadv1.Processes_AttachClient
}

// Write implements io.Writer.
func (i *attachInput) Write(p []byte) (int, error) {
	return writeChunks(p, func(chunk []byte) error {
		i.sending.Lock()
		defer i.sending.Unlock()
		return i.stream.Send(&bulkheadv1.AttachRequest{Request: &bulkheadv1.AttachRequest_Stdin{Stdin: chunk}})
	})
}

// Close implements io.Closer.
func (i *attachInput) Close() error {
	i.sending.Lock()
	defer i.sending.Unlock()
	return i.stream.Send(&bulkheadv1.AttachRequest{Request: &bulkheadv1.AttachRequest_CloseStdin{CloseStdin: &bulkheadv1.CloseStdin{}}})
}

// writeChunks sends p in messages of their size.
func writeChunks(p []byte, send func([]byte) error) (n int, err error) {
	for n < len(p) {
		chunk := append([]byte(nil), p[n:min(n+maxInput, len(p))]...) // the stream's from then on
		if err := send(chunk); err != nil {
			return n, err
		}
		n += len(chunk)
	}
	return n, nil
}
