package server

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/vmm/logfile"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Attach implements bulkheadv1.ProcessesServer. What the command writes goes to a
// log, from where all who are attached read it; what they write goes to the
// socket that the worker takes input from.
func (s *processes) Attach(stream bulkheadv1.Processes_AttachServer) error {
	return toStatus(s.attach(stream))
}

func (s *processes) attach(stream bulkheadv1.Processes_AttachServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return fault.InvalidField("start", "the first message must be it")
	}
	i, end, err := s.node.Use(start.GetSandbox())
	if err != nil {
		return err
	}
	defer end()
	box, err := s.node.Get(start.GetSandbox())
	if err != nil {
		return err
	}
	if box.GetSpec().GetCommand() == nil {
		return errNoCommand(start.GetSandbox())
	}
	path, _, err := s.node.Logs(start.GetSandbox())
	if err != nil {
		return err
	}
	a := &attachment{instance: i, command: node.Command(box.GetSpec().GetCommand()), watches: s.watches, stream: stream}
	since := time.Now()
	if start.GetLogs() {
		since = box.GetStatus().GetStartTime().AsTime()
	}
	return a.run(stream.Context(), path, since)
}

// attachment is a client at a sandbox's command. It ends with the call.
type attachment struct {
	instance *instance.Instance
	command  guest.Command
	watches  *logfile.Watches

	sending sync.Mutex // of stream
	stream  bulkheadv1.Processes_AttachServer
}

func (a *attachment) run(ctx context.Context, path string, since time.Time) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	started := &bulkheadv1.AttachResponse_Started{Started: &bulkheadv1.AttachStarted{ProcessId: guest.MainID}}
	if err := a.send(&bulkheadv1.AttachResponse{Response: started}); err != nil {
		return err
	}
	go func() {
		if err := a.listen(ctx); err != nil {
			cancel(err)
		}
	}()
	written := make(chan struct{}) // all of the output is in the log
	go func() {
		a.instance.UntilRecorded(ctx)
		close(written)
	}()
	err := readLog(ctx, path, logfile.Options{Since: since, Follow: true, Done: written, Watches: a.watches}, a.deliver)
	if err != nil {
		return err
	}
	exit, err := a.instance.AwaitExit(ctx) // the guest may be gone: reading takes as long as the client does
	if err != nil {
		return err
	}
	return a.send(&bulkheadv1.AttachResponse{Response: &bulkheadv1.AttachResponse_Exit{Exit: exitOf(exit)}})
}

func (a *attachment) send(m *bulkheadv1.AttachResponse) error {
	a.sending.Lock()
	defer a.sending.Unlock()
	return a.stream.Send(m)
}

// deliver sends entries of the log as the output that they are.
func (a *attachment) deliver(m *bulkheadv1.GetLogsResponse) error {
	for _, e := range m.GetEntries() {
		r := &bulkheadv1.AttachResponse{Response: &bulkheadv1.AttachResponse_Stdout{Stdout: e.GetData()}}
		if e.GetStream() != bulkheadv1.LogStream_LOG_STREAM_STDOUT {
			r.Response = &bulkheadv1.AttachResponse_Stderr{Stderr: e.GetData()}
		}
		if err := a.send(r); err != nil {
			return err
		}
	}
	return nil
}

// listen does what the client says, until it says no more.
func (a *attachment) listen(ctx context.Context) error {
	for {
		m, err := a.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := a.obey(ctx, m); err != nil {
			return err
		}
	}
}

func (a *attachment) obey(ctx context.Context, m *bulkheadv1.AttachRequest) error {
	switch r := m.GetRequest().(type) {
	case *bulkheadv1.AttachRequest_Stdin:
		if err := checkInput(a.command, r.Stdin); err != nil {
			return err
		}
		return a.unlessOver(ctx, a.instance.Input(ctx, r.Stdin))
	case *bulkheadv1.AttachRequest_CloseStdin:
		if err := checkInput(a.command, nil); err != nil {
			return err
		}
		return a.unlessOver(ctx, a.instance.EndInput(ctx))
	case *bulkheadv1.AttachRequest_Resize:
		if err := checkSize("resize", r.Resize); err != nil {
			return err
		}
		return a.with(ctx, func(ctx context.Context, p *guest.Process) error { return p.Resize(ctx, sizeOf(r.Resize)) })
	case *bulkheadv1.AttachRequest_Signal:
		if err := checkSignal(r.Signal); err != nil {
			return err
		}
		return a.with(ctx, func(ctx context.Context, p *guest.Process) error { return p.Signal(ctx, int(r.Signal)) })
	}
	return fault.InvalidField("request", "start comes first, and once; then stdin, close_stdin, resize and signal")
}

// overTime is how long the command's end may take to be known, once it takes no
// more input.
const overTime = 5 * time.Second

// unlessOver returns the error of input, unless the command didn't live to take it:
// then its end is what the client wants to know.
func (a *attachment) unlessOver(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	select {
	case <-a.instance.Exited():
		return nil
	case <-a.instance.Ended():
		return nil
	case <-time.After(overTime):
	case <-ctx.Done():
	}
	return err
}

// with calls do with the command, which may have ended.
func (a *attachment) with(ctx context.Context, do func(context.Context, *guest.Process) error) error {
	return ignoreEnded(a.instance.With(ctx, func(ctx context.Context, agent *guest.Agent) error { return do(ctx, agent.Main()) }))
}
