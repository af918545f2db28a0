package daemon

import (
	"context"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// receiving is a stream on which messages come.
type receiving struct {
	grpc.ServerStream
	messages []proto.Message
}

func (r *receiving) Context() context.Context { return context.Background() }

func (r *receiving) RecvMsg(m any) error {
	proto.Merge(m.(proto.Message), r.messages[0])
	r.messages = r.messages[1:]
	return nil
}

// TestLogSaysWhichSandbox has every kind of streams in the log with the sandbox that
// it is about.
func TestLogSaysWhichSandbox(t *testing.T) {
	for name, messages := range map[string][]proto.Message{
		"Exec": {
			&bulkheadv1.ExecRequest{Request: &bulkheadv1.ExecRequest_Start{Start: &bulkheadv1.ExecStart{Sandbox: "box"}}},
			&bulkheadv1.ExecRequest{Request: &bulkheadv1.ExecRequest_Start{Start: &bulkheadv1.ExecStart{Sandbox: "another"}}},
		},
		"Attach":      {&bulkheadv1.AttachRequest{Request: &bulkheadv1.AttachRequest_Start{Start: &bulkheadv1.AttachStart{Sandbox: "box"}}}},
		"PortForward": {&bulkheadv1.PortForwardRequest{Request: &bulkheadv1.PortForwardRequest_Start{Start: &bulkheadv1.PortForwardStart{Sandbox: "box"}}}},
		"WriteFile":   {&bulkheadv1.WriteFileRequest{Part: &bulkheadv1.WriteFileRequest_Header{Header: &bulkheadv1.WriteFileHeader{Sandbox: "box"}}}},
		"ReadFile":    {&bulkheadv1.ReadFileRequest{Sandbox: "box"}},
		"GetLogs":     {&bulkheadv1.GetLogsRequest{Sandbox: "box"}},
		"Watch":       {&bulkheadv1.WatchSandboxesRequest{Name: "box"}},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zapcore.InfoLevel)
			stream := &receiving{messages: messages}
			handler := func(_ any, s grpc.ServerStream) error {
				for _, m := range messages {
					if err := s.RecvMsg(m.ProtoReflect().New().Interface()); err != nil {
						return err
					}
				}
				return nil
			}
			if err := (accessLog{zap.New(core)}).stream(nil, stream, &grpc.StreamServerInfo{FullMethod: name}, handler); err != nil {
				t.Fatal(err)
			}
			if all := logs.All(); len(all) != 1 || all[0].ContextMap()["sandbox"] != "box" {
				t.Errorf("the log has %v", all)
			}
		})
	}
}
