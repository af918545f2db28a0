package server

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// chunk is how much output a message carries at most.
const chunk = 32 << 10

// Exec implements bulkheadv1.ProcessesServer.
func (s *processes) Exec(stream bulkheadv1.Processes_ExecServer) error {
	return toStatus(s.exec(stream))
}

func (s *processes) exec(stream bulkheadv1.Processes_ExecServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return fault.InvalidField("start", "the first message must be it")
	}
	if err := fault.InvalidRequest(spec.CheckCommand("start.command", start.GetCommand())); err != nil {
		return err
	}
	i, end, err := s.node.Use(start.GetSandbox())
	if err != nil {
		return err
	}
	defer end()
	command := node.Command(start.GetCommand())
	p, err := i.Exec(stream.Context(), command)
	if err != nil {
		return err
	}
	e := &execution{instance: i, process: p, command: command, stream: stream}
	defer e.close()
	return e.run(stream.Context())
}

// execution is a command and the call that runs it. It ends with the call: what
// waits for the guest is ended by closing the process, what waits for the client
// by the stream's context.
type execution struct {
	instance *instance.Instance
	process  *guest.Process
	command  guest.Command

	sending sync.Mutex // of stream
	stream  bulkheadv1.Processes_ExecServer
	copying sync.WaitGroup
}

// close ends the process, and what copies its output.
func (e *execution) close() {
	e.process.Close() // it is gone, or will be
	e.copying.Wait()
}

func (e *execution) run(ctx context.Context) error {
	started := &bulkheadv1.ExecResponse_Started{Started: &bulkheadv1.ExecStarted{ProcessId: e.process.ID()}}
	if err := e.send(&bulkheadv1.ExecResponse{Response: started}); err != nil {
		return err
	}
	refused := make(chan error, 1) // what was wrong with a message of the client's
	go func() { refused <- e.listen(ctx) }()
	e.copying.Go(func() {
		e.copyOutput(e.process.Stdout, func(b []byte) *bulkheadv1.ExecResponse {
			return &bulkheadv1.ExecResponse{Response: &bulkheadv1.ExecResponse_Stdout{Stdout: b}}
		})
	})
	if e.process.Stderr != nil {
		e.copying.Go(func() {
			e.copyOutput(e.process.Stderr, func(b []byte) *bulkheadv1.ExecResponse {
				return &bulkheadv1.ExecResponse{Response: &bulkheadv1.ExecResponse_Stderr{Stderr: b}}
			})
		})
	}
	exit, err := e.wait(ctx, refused)
	if err != nil {
		return err
	}
	return e.send(&bulkheadv1.ExecResponse{Response: &bulkheadv1.ExecResponse_Exit{Exit: exitOf(exit)}})
}

// wait waits for the process's end and all its output.
func (e *execution) wait(ctx context.Context, refused <-chan error) (*guest.Exit, error) {
	type outcome struct {
		exit *guest.Exit
		err  error
	}
	ended := make(chan outcome, 1)
	go func() {
		exit, err := e.instance.Wait(ctx, e.process)
		if err == nil {
			e.copying.Wait()
		}
		ended <- outcome{exit, err}
	}()
	select {
	case o := <-ended:
		return o.exit, o.err
	case err := <-refused:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select { // the client says no more
	case o := <-ended:
		return o.exit, o.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (e *execution) send(m *bulkheadv1.ExecResponse) error {
	e.sending.Lock()
	defer e.sending.Unlock()
	return e.stream.Send(m)
}

func (e *execution) copyOutput(from io.Reader, message func([]byte) *bulkheadv1.ExecResponse) {
	for {
		buf := make([]byte, chunk) // sent, and then the stream's
		n, err := from.Read(buf)
		if n > 0 && e.send(message(buf[:n])) != nil {
			return
		}
		if err != nil {
			return
		}
	}
}

// listen does what the client says, until it says no more: then there is no more
// input, either.
func (e *execution) listen(ctx context.Context) error {
	for {
		m, err := e.stream.Recv()
		if errors.Is(err, io.EOF) {
			e.process.Stdin.CloseWrite() // it may have ended
			return nil
		}
		if err != nil {
			return err
		}
		if err := e.obey(ctx, m); err != nil {
			return err
		}
	}
}

func (e *execution) obey(ctx context.Context, m *bulkheadv1.ExecRequest) error {
	switch r := m.GetRequest().(type) {
	case *bulkheadv1.ExecRequest_Stdin:
		if err := checkInput(e.command, r.Stdin); err != nil {
			return err
		}
		e.process.Stdin.Write(r.Stdin) // it may have ended, or not want any more
	case *bulkheadv1.ExecRequest_CloseStdin:
		e.process.Stdin.CloseWrite() // likewise
	case *bulkheadv1.ExecRequest_Resize:
		if err := checkSize("resize", r.Resize); err != nil {
			return err
		}
		return ignoreEnded(e.process.Resize(ctx, sizeOf(r.Resize)))
	case *bulkheadv1.ExecRequest_Signal:
		if err := checkSignal(r.Signal); err != nil {
			return err
		}
		return ignoreEnded(e.process.Signal(ctx, int(r.Signal)))
	default:
		return fault.InvalidField("request", "start comes first, and once; then stdin, close_stdin, resize and signal")
	}
	return nil
}

func checkInput(c guest.Command, data []byte) error {
	if len(data) > maxInput {
		return fault.InvalidField("stdin", "64 KiB is the most in a message")
	}
	if !c.Stdin && c.Console == nil {
		return fault.New(fault.Precondition, fault.ReasonState, "", "the command has no standard input: set stdin in it")
	}
	return nil
}
