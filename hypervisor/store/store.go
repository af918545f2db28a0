// Package store keeps what a node knows: its sandboxes, and the changes that led
// there, numbered, for those who watch; and its pools with their members, of whose
// changes nobody hears.
package store

import (
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// Changes are remembered until there are MaxEvents later ones, or these have
// MaxEventBytes as messages; the last one always is.
const (
	MaxEvents     = 10_000
	MaxEventBytes = 32 << 20
)

// BatchBytes is how much of changes is read at once, up to the one with which it is
// as much or more.
const BatchBytes = 1 << 20

// ErrForgotten is returned for changes that a store doesn't remember any more,
// or hasn't seen yet.
var ErrForgotten = errors.New("these changes are not remembered")

// ErrFull is returned for changes that there is no room for, on a disk that is
// full.
var ErrFull = errors.New("no room on the disk")

// Store is a node's memory. Its methods may be called from any goroutine. What
// it is given and what it returns is never changed afterwards by either side.
type Store interface {
	// Records returns all sandboxes.
	Records() ([]*storev1.Record, error)
	// Put keeps r, under its sandbox's name, and remembers the change. The
	// sandbox's resource version becomes the change's, which is returned.
	Put(r *storev1.Record, change Change) (version uint64, err error)
	// Delete forgets r, likewise.
	Delete(r *storev1.Record, message string) (version uint64, err error)
	// Version returns the number of the last change.
	Version() uint64
	// Changed returns a channel that is closed at the next change.
	Changed() <-chan struct{}
	// Events returns the changes after a version, in order: at least one if there
	// is any, at most limit, and no more after BatchBytes. It fails with
	// ErrForgotten.
	Events(after uint64, limit int) ([]*storev1.Event, error)
	// Draining and SetDraining keep whether the node is being drained.
	Draining() (bool, error)
	SetDraining(bool) error
	Pools
	Close() error
}

// Pools is what a Store keeps of pools.
type Pools interface {
	// Pools returns all pools, and PutPool keeps one, under its name. Pools are Optional
	// changes.
	Pools() ([]*storev1.Pool, error)
	PutPool(*storev1.Pool) error
	// DeletePool forgets the pool of a name. That there is none is no error.
	DeletePool(name string) error
	// Members returns the members of all pools, and PutMember keeps one, under its
	// sandbox's name. Optional is as in Change.
	Members() ([]*storev1.Record, error)
	PutMember(r *storev1.Record, optional bool) error
	// DeleteMember forgets the member of a name. That there is none is no error.
	DeleteMember(name string) error
	// Claim is Put, and DeleteMember of the member that has r's name on the host, in one
	// step.
	Claim(r *storev1.Record, change Change) (version uint64, err error)
}

// Change is what is remembered with a record.
type Change struct {
	Type    bulkheadv1.EventType // ADDED or MODIFIED
	Message string
	// Optional changes needn't be: the last room that there is isn't for them.
	Optional bool
}

// Event returns the event of a change of r, now.
func Event(r *storev1.Record, t bulkheadv1.EventType, message string) *storev1.Event {
	return &storev1.Event{Type: t, Sandbox: r.GetSandbox(), Time: timestamppb.New(time.Now()), Message: message}
}
