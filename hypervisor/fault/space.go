package fault

// ReasonNoSpace is of a disk that is full.
const ReasonNoSpace = "NO_SPACE"

// NoSpace returns the error of what couldn't be done because a disk of the node is
// full; err says which. what is the sentence's beginning, such as "sandbox \"x\" did
// not start".
func NoSpace(subject, what string, err error) *Error {
	return &Error{
		Kind: Exhausted, Reason: ReasonNoSpace, Subject: subject, Err: err,
		Message: what + ": a disk of the node is full: delete sandboxes and snapshots that nobody needs, or have its operator make room, and try again",
	}
}
