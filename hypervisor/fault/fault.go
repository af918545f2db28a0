// Package fault is errors that a client can act on: what kind they are, what they
// are about and what would help. Everything else is the node's own failure.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what a client can do about an error.
type Kind int

// The kinds.
const (
	Internal      Kind = iota // nothing: the node failed
	Invalid                   // send another request
	NotFound                  // name something else
	Exists                    // choose another name
	Precondition              // change the state of things first
	Exhausted                 // go elsewhere, or free something
	Unavailable               // go elsewhere, or try again
	Aborted                   // find out why it failed; trying again may help
	Denied                    // be somebody else
	OutOfRange                // begin anew
	Unimplemented             // go where there is such a thing
)

// Reasons, for programs, of errors that share their kind with others.
const (
	ReasonInvalid              = "INVALID_REQUEST"
	ReasonNoSandbox            = "SANDBOX_NOT_FOUND"
	ReasonNameTaken            = "NAME_TAKEN"
	ReasonRequestIDUsed        = "REQUEST_ID_USED"
	ReasonVsockPathTaken       = "VSOCK_PATH_TAKEN"
	ReasonState                = "WRONG_STATE"
	ReasonNoRoom               = "NO_ROOM"
	ReasonTooMany              = "TOO_MANY_SANDBOXES"
	ReasonDraining             = "NODE_DRAINING"
	ReasonClosing              = "NODE_CLOSING"
	ReasonStartFailed          = "START_FAILED"
	ReasonEnded                = "SANDBOX_ENDED"
	ReasonNoCommand            = "NO_COMMAND"
	ReasonCommandNotFound      = "COMMAND_NOT_FOUND"
	ReasonCommandNotExecutable = "COMMAND_NOT_EXECUTABLE"
	ReasonForgotten            = "CHANGES_FORGOTTEN"
	ReasonPortRefused          = "PORT_REFUSED"
	ReasonNoSnapshot           = "SNAPSHOT_NOT_FOUND"
	ReasonSnapshotDamaged      = "SNAPSHOT_DAMAGED"
	ReasonSnapshotFailed       = "SNAPSHOT_FAILED"
	ReasonTooManySnapshots     = "TOO_MANY_SNAPSHOTS"
	ReasonNoTemplate           = "TEMPLATE_NOT_FOUND"
	ReasonTemplateDamaged      = "TEMPLATE_DAMAGED"
	ReasonTemplateFailed       = "TEMPLATE_FAILED"
	ReasonTooManyTemplates     = "TOO_MANY_TEMPLATES"
	ReasonGuest                = "GUEST" // the guest answered so
	ReasonNotAllowed           = "NOT_ALLOWED"
	ReasonInternal             = "INTERNAL"
)

// Error is an error with what a client needs to know.
type Error struct {
	Kind    Kind
	Reason  string // one of the constants
	Subject string // the sandbox, or what else it is about; may be empty
	// Resource is what Subject is one of, such as ResourceSnapshot. Empty: a
	// sandbox, if anything.
	Resource string
	Message  string // for people: what is wrong and what to do about it
	// Violations say what is wrong with the fields of an invalid request.
	Violations []Violation
	// RetryAfter is when the same request may have another outcome. 0: not known.
	RetryAfter time.Duration
	Err        error // behind it; may be nil
}

// What an Error's Resource may be.
const (
	ResourceSnapshot = "snapshot"
	ResourceTemplate = "template"
)

// Violation is what is wrong with a field.
type Violation struct {
	Field       string // its path in the request, such as "spec.disks[1].path"
	Description string
}

func (e *Error) Error() string {
	switch {
	case e.Message == "":
		return e.Err.Error()
	case e.Err == nil:
		return e.Message
	}
	return e.Message + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// New returns an error without more behind it.
func New(k Kind, reason, subject, format string, args ...any) *Error {
	return &Error{Kind: k, Reason: reason, Subject: subject, Message: fmt.Sprintf(format, args...)}
}

// InvalidRequest returns the error of a request with these violations, nil if
// there are none.
func InvalidRequest(violations []Violation) error {
	if len(violations) == 0 {
		return nil
	}
	var text []string
	for _, v := range violations {
		text = append(text, v.Field+": "+v.Description)
	}
	return &Error{Kind: Invalid, Reason: ReasonInvalid, Message: strings.Join(text, "; "), Violations: violations}
}

// InvalidField returns the error of a request with one field that is wrong.
func InvalidField(field, description string) error {
	return InvalidRequest([]Violation{{Field: field, Description: description}})
}

// KindOf returns an error's kind: Internal if it says nothing.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}
