package server

import (
	"bufio"
	"errors"
	"io"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// archiveChunk is how much of an archive a message carries to a client.
const archiveChunk = 256 << 10

// ExportSnapshot implements bulkheadv1.SnapshotsServer.
func (s *snapshots) ExportSnapshot(r *bulkheadv1.ExportSnapshotRequest, stream bulkheadv1.Snapshots_ExportSnapshotServer) error {
	out := bufio.NewWriterSize(archiveWriter{stream}, archiveChunk)
	err := s.node.Export(stream.Context(), r, func(found *bulkheadv1.Snapshot) (io.Writer, error) {
		part := &bulkheadv1.ExportSnapshotResponse_Snapshot{Snapshot: found}
		return out, stream.Send(&bulkheadv1.ExportSnapshotResponse{Part: part})
	})
	if err == nil {
		err = out.Flush()
	}
	return toStatus(err)
}

// archiveWriter sends what it is given to the client, who takes it at its own pace.
type archiveWriter struct {
	stream bulkheadv1.Snapshots_ExportSnapshotServer
}

func (w archiveWriter) Write(p []byte) (n int, err error) {
	for n < len(p) {
		data := append([]byte(nil), p[n:min(n+archiveChunk, len(p))]...) // the stream's, once it is sent
		if err := w.stream.Send(&bulkheadv1.ExportSnapshotResponse{Part: &bulkheadv1.ExportSnapshotResponse_Data{Data: data}}); err != nil {
			return n, err
		}
		n += len(data)
	}
	return n, nil
}

// ImportSnapshot implements bulkheadv1.SnapshotsServer.
func (s *snapshots) ImportSnapshot(stream bulkheadv1.Snapshots_ImportSnapshotServer) error {
	first, err := stream.Recv()
	if err != nil {
		return toStatus(err)
	}
	h := first.GetHeader()
	if h == nil {
		return toStatus(fault.InvalidField("header", "the first message must be it"))
	}
	made, err := s.node.Import(stream.Context(), h, clientName(stream.Context()), &archiveReader{stream: stream})
	if err != nil {
		return toStatus(err)
	}
	return stream.SendAndClose(&bulkheadv1.ImportSnapshotResponse{Snapshot: made})
}

// archiveReader reads what the client sends, until the call ends.
type archiveReader struct {
	stream bulkheadv1.Snapshots_ImportSnapshotServer
	rest   []byte
}

func (r *archiveReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		m, err := r.stream.Recv()
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if err != nil {
			return 0, err
		}
		data, ok := m.GetPart().(*bulkheadv1.ImportSnapshotRequest_Data)
		if !ok || len(data.Data) > maxData {
			return 0, fault.InvalidField("part", "after the header comes data, up to 1 MiB in a message")
		}
		r.rest = data.Data
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
