package main

// Exit codes, as docker run and timeout(1) have them. Any other is the
// command's own.
const (
	exitUsage         = 1   // of a command other than run
	exitTimeout       = 124 // the command ran longer than --timeout
	exitFailure       = 125 // Bulkhead itself failed
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignal        = 128 // plus the signal's number
)

// exitError ends the program with a code. err, which may be nil, is printed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }
