package main

import (
	"io"
	"time"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// logPrinter prints the entries of a log, each where its command had written it.
type logPrinter struct {
	stdout, stderr io.Writer
	timestamps     bool // of lines, before each

	midLine map[bulkheadv1.LogStream]bool // the stream's last entry was a part of its line
}

// print prints one. An error is that nobody takes it.
func (p *logPrinter) print(e *bulkheadv1.LogEntry) error {
	out, stream, text := p.stdout, e.GetStream(), e.GetData()
	switch stream {
	case bulkheadv1.LogStream_LOG_STREAM_STDERR:
		out = p.stderr
	case bulkheadv1.LogStream_LOG_STREAM_NOTICE: // lines are missing: what follows begins one
		out, p.midLine = p.stderr, nil
	}
	if p.timestamps && !p.midLine[stream] {
		text = append(e.GetTime().AsTime().AppendFormat(nil, time.RFC3339Nano+" "), text...)
	}
	if p.midLine == nil {
		p.midLine = map[bulkheadv1.LogStream]bool{}
	}
	p.midLine[stream] = len(text) > 0 && text[len(text)-1] != '\n'
	_, err := out.Write(text)
	return err
}
