package client

import (
	"context"
	"errors"
	"io"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// fileChunk is how much of a file a message carries.
const fileChunk = 64 << 10

// ReadFile copies a file of a sandbox to w and returns its info.
func (c *Client) ReadFile(ctx context.Context, sandbox, path string, w io.Writer) (*bulkheadv1.FileInfo, error) {
	ctx, cancel := context.WithCancel(ctx) // ends the call where w fails
	defer cancel()
	stream, err := c.Files.ReadFile(ctx, &bulkheadv1.ReadFileRequest{Sandbox: sandbox, Path: path})
	if err != nil {
		return nil, err
	}
	var info *bulkheadv1.FileInfo
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return info, nil
		case err != nil:
			return nil, err
		case m.GetInfo() != nil:
			info = m.GetInfo()
			continue
		}
		if _, err := w.Write(m.GetData()); err != nil {
			return nil, err
		}
	}
}

// WriteFile makes or replaces a file of a sandbox with what r has.
func (c *Client) WriteFile(ctx context.Context, header *bulkheadv1.WriteFileHeader, r io.Reader) (*bulkheadv1.FileInfo, error) {
	ctx, cancel := context.WithCancel(ctx) // without it, half a file would be whole where r fails
	defer cancel()
	stream, err := c.Files.WriteFile(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&bulkheadv1.WriteFileRequest{Part: &bulkheadv1.WriteFileRequest_Header{Header: header}})
	for err == nil {
		buf := make([]byte, fileChunk) // the stream's, once it is sent
		n, readErr := io.ReadFull(r, buf)
		if readErr != nil && !errors.Is(readErr, io.EOF) && !errors.Is(readErr, io.ErrUnexpectedEOF) {
			return nil, readErr
		}
		if n > 0 {
			err = stream.Send(&bulkheadv1.WriteFileRequest{Part: &bulkheadv1.WriteFileRequest_Data{Data: buf[:n]}})
		}
		if readErr != nil {
			break
		}
	}
	if err != nil && !errors.Is(err, io.EOF) { // then the answer says why
		return nil, err
	}
	answer, err := stream.CloseAndRecv()
	return answer.GetInfo(), err
}

// ListFiles calls do for each file in a directory of a sandbox.
func (c *Client) ListFiles(ctx context.Context, sandbox, path string, do func(*bulkheadv1.FileInfo) error) error {
	for token := ""; ; {
		page, err := c.Files.ListFiles(ctx, &bulkheadv1.ListFilesRequest{Sandbox: sandbox, Path: path, PageToken: token})
		if err != nil {
			return err
		}
		for _, f := range page.GetFiles() {
			if err := do(f); err != nil {
				return err
			}
		}
		if token = page.GetNextPageToken(); token == "" {
			return nil
		}
	}
}
