package systemd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
	"go.uber.org/zap/zapcore"
)

// JournalConnected reports whether this process's standard error is the journal.
func JournalConnected() bool {
	ok, err := journal.StderrIsJournalStream()
	return ok && err == nil
}

// journalCore writes log entries to the journal, their fields as its fields.
type journalCore struct {
	zapcore.LevelEnabler
	program string
	fields  []zapcore.Field
}

// NewJournalCore returns a core that logs to the journal as a program, which
// SYSLOG_IDENTIFIER names: "sandbox" becomes BULKHEAD_SANDBOX, and so on; the
// logger's name BULKHEAD_LOGGER. It fails if the journal isn't there.
func NewJournalCore(program string, level zapcore.LevelEnabler) (zapcore.Core, error) {
	if !journal.Enabled() {
		return nil, errors.New("the journal doesn't answer at /run/systemd/journal/socket: start systemd-journald, or log in another format")
	}
	return &journalCore{LevelEnabler: level, program: program}, nil
}

// With implements zapcore.Core.
func (c *journalCore) With(fields []zapcore.Field) zapcore.Core {
	return &journalCore{c.LevelEnabler, c.program, append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

// Check implements zapcore.Core.
func (c *journalCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

// Write implements zapcore.Core.
func (c *journalCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	message, vars := entry(e, append(c.fields[:len(c.fields):len(c.fields)], fields...))
	vars["SYSLOG_IDENTIFIER"] = c.program
	return journal.Send(message, priority(e.Level), vars)
}

// entry is an entry as the journal has it: a message and fields.
func entry(e zapcore.Entry, fields []zapcore.Field) (message string, vars map[string]string) {
	encoder := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(encoder)
	}
	vars = map[string]string{}
	for k, v := range encoder.Fields {
		vars["BULKHEAD_"+fieldName(k)] = fmt.Sprint(v)
	}
	if e.LoggerName != "" {
		vars["BULKHEAD_LOGGER"] = e.LoggerName
	}
	message = e.Message
	if err, ok := encoder.Fields["error"]; ok {
		message += ": " + fmt.Sprint(err) // for those who only look at messages
	}
	return message, vars
}

// Sync implements zapcore.Core.
func (c *journalCore) Sync() error { return nil }

// fieldName is a name as the journal takes it.
func fieldName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		}
		return '_'
	}, s)
}

func priority(l zapcore.Level) journal.Priority {
	switch {
	case l >= zapcore.DPanicLevel:
		return journal.PriCrit
	case l >= zapcore.ErrorLevel:
		return journal.PriErr
	case l >= zapcore.WarnLevel:
		return journal.PriWarning
	case l >= zapcore.InfoLevel:
		return journal.PriInfo
	}
	return journal.PriDebug
}
