package client

import (
	"context"
	"errors"
	"io"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// ExportSnapshot writes an archive of a snapshot to w, and returns the snapshot's
// info. What was written before an error is no archive.
func (c *Client) ExportSnapshot(ctx context.Context, r *bulkheadv1.ExportSnapshotRequest, w io.Writer) (*bulkheadv1.Snapshot, error) {
	ctx, cancel := context.WithCancel(ctx) // ends the call where w fails
	defer cancel()
	stream, err := c.Snapshots.ExportSnapshot(ctx, r)
	if err != nil {
		return nil, err
	}
	var info *bulkheadv1.Snapshot
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return info, nil
		case err != nil:
			return nil, err
		case m.GetSnapshot() != nil:
			info = m.GetSnapshot()
			continue
		}
		if _, err := w.Write(m.GetData()); err != nil {
			return nil, err
		}
	}
}

// ImportSnapshot makes a snapshot of the archive that r has. name may be empty: the
// archive's.
func (c *Client) ImportSnapshot(ctx context.Context, name string, r io.Reader) (*bulkheadv1.Snapshot, error) {
	ctx, cancel := context.WithCancel(ctx) // without it, half an archive would be its end where r fails
	defer cancel()
	stream, err := c.Snapshots.ImportSnapshot(ctx)
	if err != nil {
		return nil, err
	}
	header := &bulkheadv1.ImportSnapshotHeader{Name: name}
	err = stream.Send(&bulkheadv1.ImportSnapshotRequest{Part: &bulkheadv1.ImportSnapshotRequest_Header{Header: header}})
	for err == nil {
		buf := make([]byte, fileChunk) // the stream's, once it is sent
		n, readErr := io.ReadFull(r, buf)
		if readErr != nil && !errors.Is(readErr, io.EOF) && !errors.Is(readErr, io.ErrUnexpectedEOF) {
			return nil, readErr
		}
		if n > 0 {
			err = stream.Send(&bulkheadv1.ImportSnapshotRequest{Part: &bulkheadv1.ImportSnapshotRequest_Data{Data: buf[:n]}})
		}
		if readErr != nil {
			break
		}
	}
	if err != nil && !errors.Is(err, io.EOF) { // then the answer says why
		return nil, err
	}
	answer, err := stream.CloseAndRecv()
	return answer.GetSnapshot(), err
}
