package node

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// making is a template that is being made, or was.
type making struct {
	request *bulkheadv1.CreateTemplateRequest
	spec    *bulkheadv1.SandboxSpec // the request's, with defaults
	client  string
	files   []*storev1.File // since nobody else makes one of them; guarded by Node.saves
	done    chan struct{}   // closed when the rest is set
	made    *bulkheadv1.Template
	existed bool
	err     error
}

// CreateTemplate makes a template for a client, or finds one that does, which existed. It
// goes on when ctx ends.
//
// The template is made of a sandbox whose record says so. A node that finds one when it
// opens removes it, and what was written of the template.
func (n *Node) CreateTemplate(ctx context.Context, r *bulkheadv1.CreateTemplateRequest, client string) (t *bulkheadv1.Template, existed bool, err error) {
	if err := fault.InvalidRequest(spec.CheckTemplate(r, n.limits.Load().Spec)); err != nil {
		return nil, false, err
	}
	m, err := n.beginMaking(&making{request: r, spec: spec.WithDefaults(r.GetSpec()), client: client, done: make(chan struct{})})
	if err != nil {
		return nil, false, err
	}
	select {
	case <-m.done:
		return m.made, m.existed, m.err
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
}

// beginMaking begins it, or finds what the same request, or one like it, has begun.
func (n *Node) beginMaking(m *making) (*making, error) {
	n.saves.Lock()
	defer n.saves.Unlock()
	if before, err := n.begunBefore(m); before != nil || err != nil {
		return before, err
	}
	err := n.background(func() {
		m.made, m.existed, m.err = n.make(m)
		n.saves.Lock()
		n.makings = without(n.makings, m)
		n.saves.Unlock()
		close(m.done)
	})
	if err != nil {
		return nil, err
	}
	n.makings = append(n.makings, m)
	return m, nil
}

func without(all []*making, one *making) (rest []*making) {
	for _, m := range all {
		if m != one {
			rest = append(rest, m)
		}
	}
	return rest
}

// make makes a template, unless there is one that does.
func (n *Node) make(m *making) (t *bulkheadv1.Template, existed bool, err error) {
	ctx, cancel := n.untilClosing(context.Background())
	defer cancel()
	images, err := n.imagesOf(m.spec)(ctx)
	if err != nil {
		return nil, false, n.notMade(err)
	}
	files, err := n.filesOf(m.spec, images)
	if err != nil {
		return nil, false, n.notMade(&fault.Error{Kind: fault.Precondition, Reason: fault.ReasonTemplateFailed, Resource: fault.ResourceTemplate, Err: err})
	}
	if err := n.untilAlone(ctx, m, files); err != nil {
		return nil, false, n.notMade(err)
	}
	if before := n.latest(n.alike(m.spec, m.request.GetPrepare()), files); before != nil {
		return n.shownTemplate(before.Record), true, nil
	}
	if err := n.checkTemplateCount(m.client); err != nil {
		return nil, false, err
	}
	name, err := n.makeOf(ctx, m, files)
	if err != nil {
		return nil, false, n.notMade(err)
	}
	t, err = n.GetTemplate(name)
	if err == nil {
		n.config.Log.Info("template made", zap.String("template", t.GetId()), zap.Uint64("bytes", t.GetStoredBytes()))
	}
	return t, false, err
}

// notMade says of an error what it is about.
func (n *Node) notMade(err error) error {
	var known *fault.Error
	if n.isClosing() { // which has many consequences
		return errNodeClosing
	}
	if !errors.As(err, &known) {
		if isFull(err) {
			return fault.NoSpace("", "the template is not made", err)
		}
		known = &fault.Error{Kind: fault.Aborted, Reason: fault.ReasonTemplateFailed}
	}
	return &fault.Error{Kind: known.Kind, Reason: known.Reason, Resource: known.Resource, Subject: known.Subject, RetryAfter: known.RetryAfter, Message: "the template is not made", Err: err}
}

// makeOf makes the template of a sandbox, which doesn't outlive that. It returns the
// template's name.
func (n *Node) makeOf(ctx context.Context, m *making, files []*storev1.File) (template string, err error) {
	sandbox, err := n.admitMaking(m)
	if err != nil {
		return "", err
	}
	defer func() {
		if gone := n.removeMaking(sandbox); err == nil && n.isClosing() {
			err = gone
		}
	}()
	started, err := n.Start(ctx, sandbox)
	if err != nil {
		return "", err
	}
	if m.request.GetPrepare() != nil {
		if err := n.prepareWith(ctx, sandbox, m.request); err != nil {
			return "", err
		}
	}
	box, err := n.find(sandbox)
	if err != nil {
		return "", err
	}
	record := &storev1.Snapshot{
		RequestId: m.request.GetRequestId(), Snapshot: &bulkheadv1.Snapshot{Labels: m.request.GetLabels(), Client: m.client},
		Prepare: m.request.GetPrepare(), KernelRelease: started.GetStatus().GetKernelRelease(), Files: files,
	}
	err = n.save(n.templates, box, record, func(stage *snapshots.Stage) (err error) {
		template, err = publish(stage, record)
		return err
	})
	return template, err
}

// publish has a template be there that was written, unless its files changed while it
// was made.
func publish(stage *snapshots.Stage, r *storev1.Snapshot) (name string, err error) {
	t, err := stage.Read()
	if err != nil {
		return "", err
	}
	files := r.GetFiles()[ownFiles:]
	for i, path := range r.GetImages() {
		if len(files) != len(r.GetImages()) || files[i].GetPath() != path {
			return "", fmt.Errorf("%s isn't what there was as it began: try again", path)
		}
	}
	if err := checkFiles(r.GetFiles()); err != nil {
		return "", err
	}
	return stage.PublishTemplate(t)
}

// makingPrefix begins the names of sandboxes that templates are made of.
const makingPrefix = "template-"

// admitMaking makes the sandbox, which waits to be started.
func (n *Node) admitMaking(m *making) (name string, err error) {
	n.admission.Lock()
	defer n.admission.Unlock()
	if n.draining.Load() {
		return "", errDraining
	}
	if err := n.checkCount(m.client, 1, n.limits.Load().PerClient); err != nil {
		return "", err
	}
	s := proto.CloneOf(m.spec)
	s.Template = spec.NoTemplate
	record := newRecord(&bulkheadv1.CreateSandboxRequest{Name: makingPrefix + newID()}, s, m.client)
	record.Making = true
	made, err := n.admit(record)
	return made.GetName(), err
}

// removeMaking removes it, or leaves that to the next node.
func (n *Node) removeMaking(name string) error {
	err := n.Delete(context.Background(), name, "", true)
	if fault.KindOf(err) == fault.NotFound {
		return nil
	}
	if err != nil && !errors.Is(err, errNodeClosing) {
		n.config.Log.Error("remove the sandbox that a template was made of", zap.String("sandbox", name), zap.Error(err))
	}
	return err
}

// abandonMakings removes the sandboxes of templates that an earlier node was making.
func (n *Node) abandonMakings(records []*storev1.Record) {
	for _, r := range records {
		if r.GetMaking() {
			n.background(func() { n.removeMaking(r.GetSandbox().GetName()) }) // or the next node does
		}
	}
}
