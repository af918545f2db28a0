package client

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Logs calls do with each entry of a log, as GetLogs has it, until its end, or until
// do fails. With follow it outlives restarts of the node: it goes on after the last
// entry that do has seen.
func (c *Client) Logs(ctx context.Context, r *bulkheadv1.GetLogsRequest, do func(*bulkheadv1.LogEntry) error) error {
	r = proto.CloneOf(r)
	for place := (logPlace{}); ; {
		var failed error // of do
		err := c.logs(ctx, r, func(e *bulkheadv1.LogEntry) error {
			if place.isNew(e) {
				failed = do(e)
			}
			return failed
		})
		switch code := status.Code(err); {
		case failed != nil, err == nil:
			return failed
		case code == codes.NotFound && place.last != nil: // it was deleted meanwhile
			return nil
		case code != codes.Unavailable || !r.GetFollow():
			return err
		}
		place.resume(r)
		select {
		case <-time.After(watchAgain):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// logs is one call.
func (c *Client) logs(ctx context.Context, r *bulkheadv1.GetLogsRequest, do func(*bulkheadv1.LogEntry) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Processes.GetLogs(ctx, r)
	if err != nil {
		return err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range m.GetEntries() {
			if err := do(e); err != nil {
				return err
			}
		}
	}
}

// logPlace is how far a log was read: up to a time, and so many entries of it.
// Several may have the same, and a log has them in one order.
type logPlace struct {
	last  *timestamppb.Timestamp // nil: nothing was read
	count int
	skip  int // that come again, and first
}

// isNew reports whether an entry hasn't been read, and counts it.
func (p *logPlace) isNew(e *bulkheadv1.LogEntry) bool {
	switch {
	case e.GetStream() == bulkheadv1.LogStream_LOG_STREAM_NOTICE: // of this reading, and not in the log
		return true
	case !proto.Equal(e.GetTime(), p.last):
		p.last, p.count, p.skip = e.GetTime(), 1, 0
		return true
	case p.skip > 0:
		p.skip--
		return false
	}
	p.count++
	return true
}

// resume has a request ask for the rest.
func (p *logPlace) resume(r *bulkheadv1.GetLogsRequest) {
	if p.last != nil {
		r.Since, r.Tail, p.skip = p.last, nil, p.count
	}
}
