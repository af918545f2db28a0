package main

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const (
	toStdout = bulkheadv1.LogStream_LOG_STREAM_STDOUT
	toStderr = bulkheadv1.LogStream_LOG_STREAM_STDERR
	notice   = bulkheadv1.LogStream_LOG_STREAM_NOTICE
)

func logEntry(second int, stream bulkheadv1.LogStream, text string) *bulkheadv1.LogEntry {
	t := time.Date(2026, 11, 27, 18, 0, second, 0, time.UTC)
	return &bulkheadv1.LogEntry{Time: timestamppb.New(t), Stream: stream, Data: []byte(text)}
}

// TestLogTimes: a time begins each line, and is in none.
func TestLogTimes(t *testing.T) {
	var out, err strings.Builder
	p := &logPrinter{stdout: &out, stderr: &err, timestamps: true}
	for _, e := range []*bulkheadv1.LogEntry{
		logEntry(1, toStdout, "long "), logEntry(2, toStderr, "error\n"), logEntry(3, toStdout, "line\n"), logEntry(4, toStdout, "cut"),
		logEntry(5, notice, "missing\n"), logEntry(6, toStdout, "next\n"),
	} {
		if err := p.print(e); err != nil {
			t.Fatal(err)
		}
	}
	const at = "2026-11-27T18:00:0"
	if want := at + "1Z long line\n" + at + "4Z cut" + at + "6Z next\n"; out.String() != want {
		t.Errorf("%q, want %q", &out, want)
	}
	if want := at + "2Z error\n" + at + "5Z missing\n"; err.String() != want {
		t.Errorf("%q, want %q", &err, want)
	}
}

// full is a disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestLogToFullDisk(t *testing.T) {
	p := &logPrinter{stdout: full{}, stderr: full{}}
	if err := p.print(logEntry(1, toStdout, "x\n")); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
}
