// Package fail gives an error the kind that decides what the host is told. An
// error without one is the agent's own trouble: Internal.
package fail

import (
	"errors"
	"fmt"
)

// Kind is why a call failed.
type Kind uint8

// The kinds, each with the gRPC status code it becomes.
const (
	Internal  Kind = iota // INTERNAL
	Invalid               // INVALID_ARGUMENT: the request makes no sense
	NotFound              // NOT_FOUND: what it names isn't there
	Denied                // PERMISSION_DENIED: it is there and can't be used
	Exists                // ALREADY_EXISTS: what it makes is there already
	Untimely              // FAILED_PRECONDITION: not in this state of things
	Exhausted             // RESOURCE_EXHAUSTED: too many, or no memory left
	Late                  // DEADLINE_EXCEEDED: somebody else didn't come
	Cut                   // ABORTED: somebody else left before the end
)

type kindError struct {
	kind Kind
	err  error
}

func (e *kindError) Error() string { return e.err.Error() }
func (e *kindError) Unwrap() error { return e.err }

// Errorf is fmt.Errorf with a kind, which wins over that of a wrapped error.
func Errorf(kind Kind, format string, args ...any) error {
	return &kindError{kind, fmt.Errorf(format, args...)}
}

// KindOf returns the kind of err.
func KindOf(err error) Kind {
	var e *kindError
	if errors.As(err, &e) {
		return e.kind
	}
	return Internal
}
