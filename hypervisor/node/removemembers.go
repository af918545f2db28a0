package node

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
)

// removeMembers has members be removed, for a reason, and waits for that. It fails when
// one can't be, with what is in the way: that is tried again all the same, also for those
// that have failed before.
func (n *Node) removeMembers(ctx context.Context, members []*sandbox, why string) error {
	all, ctx := errgroup.WithContext(ctx) // whose end has those be waited for no more that may take long
	for _, m := range members {
		all.Go(func() error { return m.removeMember(ctx, why) })
	}
	return all.Wait()
}

func (s *sandbox) removeMember(ctx context.Context, why string) error {
	err := s.do(ctx, func() error {
		s.doom(why)
		return nil
	}, func() (bool, error) {
		if s.removalFailed() {
			return false, &removalError{s.name, s.failure}
		}
		return s.deleted, nil
	})
	if fault.KindOf(err) == fault.NotFound {
		return nil // it is gone, or was claimed
	}
	return err
}

// removalError is why a member isn't removed yet.
type removalError struct {
	member string
	err    error
}

func (e *removalError) Error() string { return fmt.Sprintf("member %s: %v", e.member, e.err) }

func (e *removalError) Unwrap() error { return e.err }

// unremoved makes an error of removeMembers one that clients can act on, if it is about
// a member.
func unremoved(subject, resource, what string, err error) error {
	var failed *removalError
	if !errors.As(err, &failed) {
		return err
	}
	e := notYet(subject, what, failed)
	e.Resource = resource
	return e
}

// allMembers returns the members of all pools, and those whose pool is gone.
func (n *Node) allMembers() (all []*sandbox) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range n.members {
		all = append(all, m)
	}
	return all
}
