package main

import "github.com/spf13/cobra"

// Exit codes, as docker run and timeout(1) have them. Any other is the
// command's own.
const (
	exitOther         = 1   // a command failed that runs none
	exitTimeout       = 124 // the command ran longer than --timeout
	exitFailure       = 125 // Bulkhead itself failed
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignal        = 128 // plus the signal's number
)

// runsCommand is an annotation of commands whose exit codes are those of what they
// run: their own failures have a code that others seldom have.
const runsCommand = "runs-command"

// failureOf is a command's exit code when it failed in any way of its own, be it
// that its flags are wrong.
func failureOf(cmd *cobra.Command) int {
	if _, ok := cmd.Annotations[runsCommand]; ok {
		return exitFailure
	}
	return exitOther
}

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
