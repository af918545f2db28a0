package transfer

import (
	"context"
	"errors"
	"io"
	"math"
	"os"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/filesystem"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/chunk"
)

// Read sends what the file at path holds from offset on, up to length bytes, or
// to the end for a length of 0. It returns how much that was, when all of it is
// on its way.
func (t *Transfers) Read(call context.Context, id, path string, offset, length uint64) (sent uint64, err error) {
	ctx, end, err := t.begin(call, id)
	if err != nil {
		return 0, err
	}
	defer end()
	f, err := filesystem.Open(path, offset)
	if err != nil {
		t.hub.Drop(id, streams.File)
		return 0, err
	}
	defer f.Close()
	// Some files of /proc are waited for.
	defer context.AfterFunc(ctx, func() { f.Close() })()
	err = t.over(ctx, id, func(s *streams.Stream, buf []byte) (err error) {
		sent, err = chunk.Send(s, section(f, length), buf)
		return fail.Files(err)
	})
	return sent, err
}

func section(f *os.File, length uint64) io.Reader {
	if length == 0 {
		return f
	}
	return io.LimitReader(f, int64(min(length, math.MaxInt64)))
}

// Write makes what the host sends the content of the file at path, when all of it
// is there. What is cut off changes nothing.
func (t *Transfers) Write(call context.Context, id, path string, a filesystem.Attributes, parents bool) (info filesystem.Info, err error) {
	ctx, end, err := t.begin(call, id)
	if err != nil {
		return info, err
	}
	defer end()
	d, err := filesystem.NewDraft(path, a, parents)
	if err != nil {
		t.hub.Drop(id, streams.File)
		return info, err
	}
	defer d.Discard()
	err = t.over(ctx, id, func(s *streams.Stream, buf []byte) (err error) {
		if _, err = io.CopyBuffer(d, chunk.NewReader(s), buf); err == nil {
			info, err = d.Commit()
		}
		return err
	})
	return info, err
}

// over does a transfer's work over its stream, and closes that when it is done or
// ctx is.
func (t *Transfers) over(ctx context.Context, id string, do func(s *streams.Stream, buf []byte) error) error {
	taken, err := t.hub.Take(ctx, id, streams.File)
	if err == nil {
		s := taken[0]
		stop := context.AfterFunc(ctx, func() { s.Close() })
		buf := t.hub.Buffers.Get()
		err = do(s, buf[:])
		t.hub.Buffers.Put(buf)
		stop()
		s.Close()
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, chunk.ErrCut):
		return fail.Errorf(fail.Cut, "transfer %q: %w", id, err)
	case errors.Is(err, chunk.ErrTooLong):
		return fail.Errorf(fail.Invalid, "transfer %q: %w", id, err)
	}
	return err
}
