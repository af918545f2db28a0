package daemon

import (
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/bulkhead-vm/bulkhead/hypervisor/systemd"
)

// newLog returns the daemon's log. Its level can be changed.
func newLog(c LogConfig) (*zap.Logger, zap.AtomicLevel, error) {
	level, err := zap.ParseAtomicLevel(c.Level)
	if err != nil {
		return nil, level, err
	}
	format := c.Format
	if format == formatAuto {
		format = formatJSON
		if systemd.JournalConnected() {
			format = formatJournal
		}
	}
	if format == formatJournal {
		core, err := systemd.NewJournalCore("bulkheadd", level)
		if err != nil {
			return nil, level, fmt.Errorf("log.format: %w", err)
		}
		return zap.New(core), level, nil
	}
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	out := zapcore.Lock(os.Stderr)
	if format == formatConsole {
		return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(encoder), out, level)), level, nil
	}
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoder), out, level)), level, nil
}

// How many lines of a kind a log has in a time, where anybody who can connect has
// them written.
const (
	seldomTime  = time.Minute
	seldomLines = 20
)

// seldom returns a log with few lines of a kind.
func seldom(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, seldomTime, seldomLines, 0)
	}))
}
