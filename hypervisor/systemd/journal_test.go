package systemd

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestEntry(t *testing.T) {
	for name, tt := range map[string]struct {
		entry   zapcore.Entry
		fields  []zap.Field
		message string
		vars    map[string]string
	}{
		"nothing": {zapcore.Entry{Message: "hi"}, nil, "hi", map[string]string{}},
		"fields": {
			zapcore.Entry{Message: "running", LoggerName: "node"},
			[]zap.Field{zap.String("sandbox", "box"), zap.Int("exit.code", 3), zap.Duration("took", time.Second)},
			"running", map[string]string{"BULKHEAD_LOGGER": "node", "BULKHEAD_SANDBOX": "box", "BULKHEAD_EXIT_CODE": "3", "BULKHEAD_TOOK": "1s"},
		},
		"an error is in the message too": {
			zapcore.Entry{Message: "start"}, []zap.Field{zap.Error(errors.New("no room"))},
			"start: no room", map[string]string{"BULKHEAD_ERROR": "no room"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			message, vars := entry(tt.entry, tt.fields)
			if message != tt.message || !maps.Equal(vars, tt.vars) {
				t.Errorf("%q, %q; want %q, %q", message, vars, tt.message, tt.vars)
			}
		})
	}
}

func TestWithKeepsApart(t *testing.T) {
	c := &journalCore{LevelEnabler: zapcore.InfoLevel, program: "p"}
	a := c.With([]zap.Field{zap.String("sandbox", "a")}).(*journalCore)
	b := a.With([]zap.Field{zap.String("uid", "b")}).(*journalCore)
	other := a.With([]zap.Field{zap.String("uid", "c")}).(*journalCore)
	if len(c.fields) != 0 || len(a.fields) != 1 || b.fields[1].String != "b" || other.fields[1].String != "c" || b.program != "p" {
		t.Errorf("%v, %v, %v, %v", c, a, b, other)
	}
	if b.Check(zapcore.Entry{Level: zapcore.DebugLevel}, nil) != nil || b.Check(zapcore.Entry{Level: zapcore.InfoLevel}, nil) == nil {
		t.Error("the level isn't its own")
	}
}

func TestPriorities(t *testing.T) {
	for level, want := range map[zapcore.Level]journal.Priority{
		zapcore.DebugLevel: journal.PriDebug, zapcore.InfoLevel: journal.PriInfo, zapcore.WarnLevel: journal.PriWarning,
		zapcore.ErrorLevel: journal.PriErr, zapcore.PanicLevel: journal.PriCrit,
	} {
		if got := priority(level); got != want {
			t.Errorf("%v is %v, want %v", level, got, want)
		}
	}
}
