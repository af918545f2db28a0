package client

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// restarted is a node whose log is read in several calls: each ends with an error.
type restarted struct {
	bulkheadv1.ProcessesClient
	calls []logCall
	asked []*bulkheadv1.GetLogsRequest
}

// logCall is what one of them has, and how it ends.
type logCall struct {
	entries []*bulkheadv1.LogEntry
	err     error
}

func (n *restarted) GetLogs(_ context.Context, r *bulkheadv1.GetLogsRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[bulkheadv1.GetLogsResponse], error) {
	n.asked = append(n.asked, proto.CloneOf(r))
	call := n.calls[len(n.asked)-1]
	return &logStream{logCall: call}, nil
}

type logStream struct {
	grpc.ClientStream
	logCall
}

func (s *logStream) Recv() (*bulkheadv1.GetLogsResponse, error) {
	if len(s.entries) == 0 {
		return nil, s.err
	}
	e := s.entries[0]
	s.entries = s.entries[1:]
	return &bulkheadv1.GetLogsResponse{Entries: []*bulkheadv1.LogEntry{e}}, nil
}

func lineAt(second int64, text string) *bulkheadv1.LogEntry {
	return &bulkheadv1.LogEntry{Time: &timestamppb.Timestamp{Seconds: second}, Data: []byte(text)}
}

func TestLogsGoOn(t *testing.T) {
	gone := status.Error(codes.Unavailable, "closing")
	a, b, c, d := lineAt(1, "a"), lineAt(2, "b"), lineAt(2, "c"), lineAt(2, "d")
	e := lineAt(3, "e")
	tests := []struct {
		name  string
		calls []logCall
		want  string
		err   error
	}{
		{"to the end", []logCall{{[]*bulkheadv1.LogEntry{a, b}, io.EOF}}, "a b", nil},
		{"a restart", []logCall{{[]*bulkheadv1.LogEntry{a, b, c}, gone}, {[]*bulkheadv1.LogEntry{b, c, d, e}, io.EOF}}, "a b c d e", nil},
		{"two", []logCall{{[]*bulkheadv1.LogEntry{a, b}, gone}, {[]*bulkheadv1.LogEntry{b, c}, gone}, {[]*bulkheadv1.LogEntry{b, c, d}, io.EOF}}, "a b c d", nil},
		{"before the first line", []logCall{{nil, gone}, {[]*bulkheadv1.LogEntry{a}, io.EOF}}, "a", nil},
		{"deleted meanwhile", []logCall{{[]*bulkheadv1.LogEntry{a}, gone}, {nil, status.Error(codes.NotFound, "none")}}, "a", nil},
		{"never there", []logCall{{nil, status.Error(codes.NotFound, "none")}}, "", status.Error(codes.NotFound, "none")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				node, tail := &restarted{calls: tt.calls}, proto.Uint32(5)
				var got []string
				err := (&Client{Processes: node}).Logs(t.Context(), &bulkheadv1.GetLogsRequest{Follow: true, Tail: tail}, func(e *bulkheadv1.LogEntry) error {
					got = append(got, string(e.GetData()))
					return nil
				})
				if strings.Join(got, " ") != tt.want || status.Code(err) != status.Code(tt.err) {
					t.Errorf("%q, %v", got, err)
				}
				if resumed := slices.ContainsFunc(node.asked, func(r *bulkheadv1.GetLogsRequest) bool { return r.Since != nil && r.Tail != nil }); resumed {
					t.Errorf("asked again for the last lines only: %v", node.asked)
				}
			})
		})
	}
}

// TestLogsNotFollowed: who reads what there is hears that the node has gone.
func TestLogsNotFollowed(t *testing.T) {
	node := &restarted{calls: []logCall{{nil, status.Error(codes.Unavailable, "closing")}}}
	err := (&Client{Processes: node}).Logs(t.Context(), &bulkheadv1.GetLogsRequest{}, func(*bulkheadv1.LogEntry) error { return nil })
	if status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
}

// TestLogsRefused: who can't take an entry is asked no more.
func TestLogsRefused(t *testing.T) {
	full := errors.New("disk full")
	node := &restarted{calls: []logCall{{[]*bulkheadv1.LogEntry{lineAt(1, "a"), lineAt(2, "b")}, io.EOF}}}
	err := (&Client{Processes: node}).Logs(t.Context(), &bulkheadv1.GetLogsRequest{Follow: true}, func(*bulkheadv1.LogEntry) error { return full })
	if !errors.Is(err, full) || len(node.asked) != 1 {
		t.Errorf("%v after %d calls", err, len(node.asked))
	}
}
