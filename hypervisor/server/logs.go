package server

import (
	"context"
	"errors"
	"io"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/vmm/logfile"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const (
	// maxTail is how many lines a client may ask for from the end.
	maxTail = 1 << 20
	// batchSize is how much of a log is sent in one message, where there is as
	// much.
	batchSize = 64 << 10
	// ahead is how many records are read before the client takes them.
	ahead = 128
)

// GetLogs implements bulkheadv1.ProcessesServer.
func (s *processes) GetLogs(r *bulkheadv1.GetLogsRequest, stream bulkheadv1.Processes_GetLogsServer) error {
	return toStatus(s.getLogs(r, stream))
}

func (s *processes) getLogs(r *bulkheadv1.GetLogsRequest, stream bulkheadv1.Processes_GetLogsServer) error {
	path, console, err := s.node.Logs(r.GetSandbox())
	if err != nil {
		return err
	}
	if r.GetConsole() {
		path = console
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	o := logfile.Options{Follow: r.GetFollow(), Watches: s.watches}
	if r.Since != nil {
		if r.Since.CheckValid() != nil {
			return fault.InvalidField("since", "it is no time")
		}
		o.Since = r.GetSince().AsTime()
	}
	if r.Tail != nil {
		if r.GetTail() > maxTail {
			return fault.InvalidField("tail", "1048576 is the most")
		}
		if o.Tail = int(r.GetTail()); o.Tail == 0 {
			o.Tail = -1 // none, where the options have 0 for all
		}
	}
	if !o.Follow {
		return readLog(ctx, path, o, stream.Send)
	}
	over := make(chan struct{})
	o.Done = over
	var left error // why this node doesn't follow it to its end
	go func() {
		left = s.node.UntilOver(ctx, r.GetSandbox()) // or nobody reads any more
		close(over)
	}()
	if err := readLog(ctx, path, o, stream.Send); err != nil {
		return err
	}
	<-over
	return left
}

// readLog sends what a log has, several entries in a message.
func readLog(ctx context.Context, path string, o logfile.Options, send func(*bulkheadv1.GetLogsResponse) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	log, err := logfile.NewReader(path, o)
	if err != nil {
		return err
	}
	entries, failed := make(chan *bulkheadv1.LogEntry, ahead), make(chan error, 1)
	go func() {
		defer close(entries)
		defer log.Close()
		failed <- readEntries(ctx, log, entries)
	}()
	for first := range entries {
		message := &bulkheadv1.GetLogsResponse{Entries: []*bulkheadv1.LogEntry{first}}
		for size := len(first.GetData()); size < batchSize && len(entries) > 0; {
			e := <-entries
			message.Entries = append(message.Entries, e)
			size += len(e.GetData())
		}
		if err := send(message); err != nil {
			return err
		}
	}
	return <-failed
}

// readEntries reads a log to its end.
func readEntries(ctx context.Context, log *logfile.Reader, entries chan<- *bulkheadv1.LogEntry) error {
	for {
		r, err := log.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		if r.End() { // of a run: there may be another
			continue
		}
		if r.Gap {
			gap := &bulkheadv1.LogEntry{Time: timestamppb.New(r.Time), Stream: bulkheadv1.LogStream_LOG_STREAM_NOTICE, Data: []byte("lines are missing here: they were written faster than they were read\n")}
			if !pass(ctx, entries, gap) {
				return context.Cause(ctx)
			}
		}
		e := &bulkheadv1.LogEntry{Time: timestamppb.New(r.Time), Stream: streamOf(r.Label), Data: append([]byte(nil), r.Data...)}
		if !pass(ctx, entries, e) {
			return context.Cause(ctx)
		}
	}
}

func pass(ctx context.Context, entries chan<- *bulkheadv1.LogEntry, e *bulkheadv1.LogEntry) bool {
	select {
	case entries <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

func streamOf(label string) bulkheadv1.LogStream {
	switch label {
	case "stdout":
		return bulkheadv1.LogStream_LOG_STREAM_STDOUT
	case "stderr":
		return bulkheadv1.LogStream_LOG_STREAM_STDERR
	case "console":
		return bulkheadv1.LogStream_LOG_STREAM_CONSOLE
	}
	return bulkheadv1.LogStream_LOG_STREAM_NOTICE
}

// errNoCommand is for who wants to attach to nothing.
func errNoCommand(sandbox string) error {
	return fault.New(fault.Precondition, fault.ReasonNoCommand, sandbox, "sandbox %q has no command of its own: run one in it", sandbox)
}
