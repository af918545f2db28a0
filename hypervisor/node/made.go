package node

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// begunBefore returns what the same request has made or begun, or one like it has begun;
// or the error if the request ID was another's. The caller holds n.saves.
func (n *Node) begunBefore(m *making) (*making, error) {
	id := m.request.GetRequestId()
	for _, before := range n.makings {
		switch {
		case id != "" && before.request.GetRequestId() == id && before.client == m.client:
			if !proto.Equal(before.request, m.request) {
				return nil, templateIDUsed(id, "another")
			}
			return before, nil
		case before.client == m.client && proto.Equal(before.spec, m.spec) && proto.Equal(before.request.GetPrepare(), m.request.GetPrepare()):
			return before, nil
		}
	}
	if id == "" {
		return nil, nil
	}
	names, err := n.templates.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		t, err := n.templates.GetTemplate(name)
		if err != nil || t.Record.GetRequestId() != id || t.Record.GetSnapshot().GetClient() != m.client {
			continue
		}
		if !n.repeats(m, t) {
			return nil, templateIDUsed(id, snapshots.Short(name))
		}
		done := make(chan struct{})
		close(done)
		return &making{done: done, made: n.shownTemplate(t.Record), existed: true}, nil
	}
	return nil, nil
}

// untilAlone waits for as long as somebody else is making a template that would do, of
// these files. From then on others wait for m: whoever looks for the template after this
// finds it, or is the one who makes it.
func (n *Node) untilAlone(ctx context.Context, m *making, files []*storev1.File) error {
	for {
		n.saves.Lock()
		other := n.makingLike(m, files)
		if other == nil {
			m.files = files
		}
		n.saves.Unlock()
		if other == nil {
			return nil
		}
		select {
		case <-other.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// makingLike returns who is making a template that would do for m, if anybody is. The
// caller holds n.saves.
func (n *Node) makingLike(m *making, files []*storev1.File) *making {
	want, _ := spec.Machine(m.spec)
	for _, other := range n.makings {
		have, _ := spec.Machine(other.spec)
		if other != m && other.files != nil && sameFiles(other.files, files) && proto.Equal(have, want) &&
			proto.Equal(other.request.GetPrepare(), m.request.GetPrepare()) {
			return other
		}
	}
	return nil
}

// repeats reports whether a template is what was asked for.
func (n *Node) repeats(m *making, t *snapshots.Snapshot) bool {
	made := n.shownTemplate(t.Record)
	asked := &bulkheadv1.Template{Labels: m.request.GetLabels(), Spec: m.spec, Prepare: m.request.GetPrepare()}
	return proto.Equal(asked, &bulkheadv1.Template{Labels: made.GetLabels(), Spec: made.GetSpec(), Prepare: made.GetPrepare()})
}

func templateIDUsed(id, template string) error {
	return &fault.Error{Kind: fault.Exists, Reason: fault.ReasonRequestIDUsed, Resource: fault.ResourceTemplate, Subject: template,
		Message: fmt.Sprintf("request ID %q is that of template %s: use each ID for one request", id, template)}
}

// checkTemplateCount fails if the client has more templates than it may have, those among
// them that are being made.
func (n *Node) checkTemplateCount(client string) error {
	most := n.limits.Load().PerClient
	if most == 0 {
		return nil
	}
	names, err := n.templates.Names()
	if err != nil {
		return err
	}
	count := 0
	for _, name := range names {
		if t, ok := n.listedTemplate(name); ok && t.GetClient() == client {
			count++
		}
	}
	n.saves.Lock()
	defer n.saves.Unlock()
	for _, m := range n.makings {
		if m.client == client {
			count++
		}
	}
	if count > most {
		return &fault.Error{Kind: fault.Exhausted, Reason: fault.ReasonTooManyTemplates, Subject: client,
			Message: fmt.Sprintf("client %s has %d templates, the most that it may have: delete one first", client, count-1)}
	}
	return nil
}
