package node

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/labels"
	"github.com/bulkhead-vm/bulkhead/hypervisor/store"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

const (
	// bookmarkTime is how often a watcher for whom there is nothing is told so.
	bookmarkTime = 15 * time.Second
	// watchBatch is how many changes are read at once. A slow watcher costs no
	// more than that: what it hasn't seen is in the store.
	watchBatch = 64
)

// watcher is one call of Watch.
type watcher struct {
	node     *Node
	selector labels.Selector
	name     string // empty: all
	version  uint64 // up to which all was told
	told     uint64 // the last that the client has heard of
	// ahead has those that were told of at first as they were after version, by
	// their UIDs: at which version.
	ahead map[string]uint64
	send  func(*bulkheadv1.WatchSandboxesResponse) error
}

// Watch calls send with each change, in order, until ctx is done or the node is
// closed. An error of send ends it.
func (n *Node) Watch(ctx context.Context, r *bulkheadv1.WatchSandboxesRequest, send func(*bulkheadv1.WatchSandboxesResponse) error) error {
	selector, err := labels.Parse(r.GetLabelSelector())
	if err != nil {
		return fault.InvalidField("label_selector", err.Error())
	}
	w := &watcher{node: n, selector: selector, name: r.GetName(), version: n.config.Store.Version(), send: send, ahead: map[string]uint64{}}
	if r.ResourceVersion == nil {
		if err := w.tellAll(); err != nil {
			return err
		}
	} else {
		w.version = r.GetResourceVersion()
	}
	if err := w.read(); err != nil { // before a bookmark says that the version is good
		return err
	}
	return w.follow(ctx)
}

// tellAll tells of the sandboxes there are.
func (w *watcher) tellAll() error {
	for _, s := range w.node.all() {
		seen := s.seen.Load()
		if !w.wants(seen) {
			continue
		}
		err := w.send(&bulkheadv1.WatchSandboxesResponse{
			Type: bulkheadv1.EventType_EVENT_TYPE_ADDED, Sandbox: seen, ResourceVersion: w.version, Time: timestamppb.Now(),
		})
		if err != nil {
			return err
		}
		if v := seen.GetResourceVersion(); v > w.version {
			w.ahead[seen.GetUid()] = v
		}
	}
	return nil
}

// knows reports whether the client was told of a sandbox as it was after a
// change, or later.
func (w *watcher) knows(s *bulkheadv1.Sandbox) bool {
	ahead, ok := w.ahead[s.GetUid()]
	if ok && s.GetResourceVersion() >= ahead {
		delete(w.ahead, s.GetUid())
	}
	return ok && s.GetResourceVersion() <= ahead
}

func (w *watcher) wants(s *bulkheadv1.Sandbox) bool {
	return (w.name == "" || w.name == s.GetName()) && w.selector.Matches(s.GetSpec().GetLabels())
}

func (w *watcher) follow(ctx context.Context) error {
	w.told = ^uint64(0) // nothing, so that there is a first bookmark
	if err := w.bookmark(); err != nil {
		return err
	}
	tick := time.NewTicker(bookmarkTime)
	defer tick.Stop()
	for {
		changed := w.node.config.Store.Changed()
		if err := w.read(); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-tick.C:
			if err := w.bookmark(); err != nil {
				return err
			}
		case <-w.node.closing:
			return errNodeClosing
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// read tells of all changes there are.
func (w *watcher) read() error {
	for {
		events, err := w.node.config.Store.Events(w.version, watchBatch)
		switch {
		case errors.Is(err, store.ErrForgotten):
			return fault.New(fault.OutOfRange, fault.ReasonForgotten, "",
				"the changes after version %d are not remembered: list the sandboxes, and watch from the list's version on", w.version)
		case err != nil:
			return err
		case len(events) == 0:
			return nil
		}
		for _, e := range events {
			if err := w.tell(e); err != nil {
				return err
			}
		}
	}
}

func (w *watcher) tell(e *storev1.Event) error {
	w.version = e.GetSandbox().GetResourceVersion()
	if !w.wants(e.GetSandbox()) || w.knows(e.GetSandbox()) {
		return nil
	}
	w.told = w.version
	return w.send(&bulkheadv1.WatchSandboxesResponse{
		Type: e.GetType(), Sandbox: e.GetSandbox(), ResourceVersion: w.version, Time: e.GetTime(), Message: e.GetMessage(),
	})
}

// bookmark tells how far all was told, unless the client knows.
func (w *watcher) bookmark() error {
	if w.told == w.version {
		return nil
	}
	w.told = w.version
	return w.send(&bulkheadv1.WatchSandboxesResponse{
		Type: bulkheadv1.EventType_EVENT_TYPE_BOOKMARK, ResourceVersion: w.version, Time: timestamppb.Now(),
	})
}
