package worker

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/logfile"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

const (
	// consoleLabel marks the console's lines in its log.
	consoleLabel = "console"
	// consolePause is how long a line of it that isn't finished is waited for:
	// the guest writes byte by byte.
	consolePause = 100 * time.Millisecond
)

// logConfig turns a log of the API into one of package logfile. That lines of it are
// lost is logged, once.
func (w *Worker) logConfig(what string, l *vmmv1.LogFile) logfile.Config {
	return logfile.Config{
		Path:     l.GetPath(),
		MaxBytes: int64(min(l.GetMaxBytes(), math.MaxInt64)),
		Warn: func(err error) {
			w.config.Log.Warn("lines of a log are lost", "log", what, "path", l.GetPath(), "error", err)
		},
	}
}

// consoleLog is where a machine's console output goes beside the worker's own. The
// zero value is for a machine without one.
type consoleLog struct {
	log *logfile.Writer
	out io.Writer // a stream of it
}

// openConsoleLog opens the log that c asks for. The caller closes it after the
// console.
func (w *Worker) openConsoleLog(c *vmmv1.MachineConfig) (l consoleLog, err error) {
	if c.GetConsole() == nil {
		return l, nil
	}
	if l.log, err = logfile.Open(w.logConfig(consoleLabel, c.GetConsole())); err != nil {
		return l, fmt.Errorf("console: %w", err)
	}
	if l.out, err = l.log.Stream(consoleLabel); err != nil {
		return consoleLog{}, errors.Join(err, l.Close())
	}
	return l, nil
}

// record has what the guest writes to its console from now on go there.
func (l consoleLog) record(c *console) {
	if l.out != nil {
		c.add(l.out, consolePause)
	}
}

// Close implements io.Closer.
func (l consoleLog) Close() error {
	if l.log == nil {
		return nil
	}
	return l.log.Close()
}
