package guest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/chunk"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// transfer is a file's content on its way.
type transfer struct {
	id   string
	conn *net.UnixConn
	stop func() bool // of what closes conn with the context
}

func (a *Agent) newTransfer(ctx context.Context) (*transfer, error) {
	t := &transfer{id: newID()}
	conn, err := dial(ctx, a.path, streamPort)
	if err != nil {
		return nil, fmt.Errorf("open a connection for the file: %w", err)
	}
	t.conn = conn
	t.stop = context.AfterFunc(ctx, func() { conn.Close() })
	if _, err := io.WriteString(conn, greeting(t.id, "file")); err != nil {
		return nil, errors.Join(fmt.Errorf("open a connection for the file: %w", err), t.close())
	}
	return t, nil
}

func (t *transfer) close() error {
	t.stop()
	return t.conn.Close()
}

// ReadFile copies length bytes from offset on of a file to w, or all to its end if
// length is 0.
func (a *Agent) ReadFile(ctx context.Context, path string, offset, length uint64, w io.Writer) error {
	t, err := a.newTransfer(ctx)
	if err != nil {
		return err
	}
	defer t.close()
	answer := make(chan error, 1)
	go func() {
		_, err := a.AgentService.ReadFile(ctx, &agentv1.ReadFileRequest{Id: t.id, Path: path, Offset: offset, Length: length})
		if err != nil {
			t.conn.Close() // nothing will come
		}
		answer <- err
	}()
	_, copied := io.Copy(w, chunk.NewReader(bufio.NewReaderSize(t.conn, chunk.MaxContent)))
	if copied != nil {
		t.conn.Close() // or the agent waits for us
	}
	refused := <-answer
	switch {
	case copied != nil && !errors.Is(copied, chunk.ErrCut):
		return copied // w's, or what came was no file
	case refused != nil:
		return refused
	}
	return copied
}

// WriteFile makes a file of what r has, or replaces one: wholly or not at all.
// The request's ID is made up. It doesn't wait for r where the guest has refused;
// a Read that was called then is left to return.
func (a *Agent) WriteFile(ctx context.Context, req *agentv1.WriteFileRequest, r io.Reader) (*agentv1.FileInfo, error) {
	t, err := a.newTransfer(ctx)
	if err != nil {
		return nil, err
	}
	defer t.close()
	req.Id = t.id
	sent := make(chan error, 1)
	go func() {
		_, err := chunk.Send(t.conn, r, make([]byte, chunk.MaxContent))
		sent <- err // before the guest can answer to what follows
		if err != nil {
			t.conn.Close() // it sees that the file was cut off
		}
	}()
	response, err := a.AgentService.WriteFile(ctx, req)
	if err == nil {
		return response.GetInfo(), nil
	}
	t.conn.Close() // it takes no more
	select {
	case cause := <-sent:
		if cause != nil && !errors.Is(cause, chunk.ErrCut) {
			return nil, cause // r's
		}
	default:
	}
	return nil, err
}
