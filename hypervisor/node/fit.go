package node

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// inheritTemplate completes the specification of a sandbox that names a template.
func (n *Node) inheritTemplate(s *bulkheadv1.SandboxSpec) (*bulkheadv1.SandboxSpec, error) {
	t, err := n.template(s.GetTemplate())
	if err != nil {
		return nil, err
	}
	full, wrong := spec.InheritTemplate(s, t.Record.GetSnapshot().GetSpec())
	if err := fault.InvalidRequest(wrong); err != nil {
		return nil, err
	}
	full.Template = t.Record.GetSnapshot().GetDigest() // later ones may begin alike
	return full, nil
}

// checkTemplate fails if no guest can go on from a template here and now.
func (n *Node) checkTemplate(r *storev1.Snapshot) error {
	made, here := r.GetSnapshot().GetHostProfile(), n.profile()
	if here != "" && here != made {
		return fmt.Errorf("it was made where KVM is %s, here it is %s: make another template", made, here)
	}
	return checkFiles(r.GetFiles())
}

// mayFit reports whether a start of the sandbox may go on from a template: for all
// others, nothing is looked for.
func (n *Node) mayFit(r *storev1.Record) bool {
	s := r.GetSandbox().GetSpec()
	if mapsHuge(s) && !spec.NamesTemplate(s) || s.GetTemplate() == spec.NoTemplate || s.GetSnapshot() != "" || n.snapshots.Forking(r.GetFork()) {
		return false
	}
	if spec.NamesTemplate(s) {
		return true
	}
	_, ok := spec.Machine(s)
	names, err := n.templates.Names()
	return ok && err == nil && len(names) > 0
}

// chooseTemplate returns what a start of the sandbox goes on from, for which mayFit. nil:
// it boots. It fails if the sandbox names a template that doesn't do.
func (n *Node) chooseTemplate(ctx context.Context, r *storev1.Record) (*snapshots.Snapshot, error) {
	s := r.GetSandbox().GetSpec()
	if !spec.NamesTemplate(s) {
		return n.fittingTemplate(ctx, s, n.checkPaths(r))
	}
	t, err := n.template(s.GetTemplate())
	if err != nil {
		return nil, err
	}
	if err := n.checkTemplate(t.Record); err != nil {
		return nil, fmt.Errorf("template %s: %w", snapshots.Short(s.GetTemplate()), err)
	}
	return t, nil
}

// fittingTemplate returns the latest template that nobody need have asked for. What is
// wrong with the sandbox's files is for the boot to say.
func (n *Node) fittingTemplate(ctx context.Context, s *bulkheadv1.SandboxSpec, wrong error) (*snapshots.Snapshot, error) {
	found := n.alike(s, nil)
	if len(found) == 0 || wrong != nil {
		return nil, nil
	}
	images, err := n.imagesOf(s)(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, nil
	}
	files, err := n.filesOf(s, images)
	if err != nil {
		return nil, nil
	}
	return n.latest(found, files), nil
}

// alike returns the templates of the same machine as a specification's, and the same
// command before.
func (n *Node) alike(s *bulkheadv1.SandboxSpec, prepare *bulkheadv1.Command) (found []*snapshots.Snapshot) {
	want, ok := spec.Machine(s)
	if !ok {
		return nil
	}
	for _, t := range n.allTemplates() {
		m, ok := spec.Machine(t.Record.GetSnapshot().GetSpec())
		if ok && proto.Equal(m, want) && proto.Equal(t.Record.GetPrepare(), prepare) {
			found = append(found, t)
		}
	}
	return found
}

// allTemplates returns those there are, as far as they can be read. What was read once
// isn't again: they never change, and who goes on from one looks at it anew.
func (n *Node) allTemplates() (all []*snapshots.Snapshot) {
	names, err := n.templates.Names()
	if err != nil {
		n.config.Log.Warn("look for templates", zap.Error(err))
	}
	n.reading.Lock()
	defer n.reading.Unlock()
	before := n.known
	n.known = map[string]*snapshots.Snapshot{}
	for _, name := range names {
		t := before[name]
		if t == nil {
			t, err = n.templates.GetTemplate(name)
			if err != nil && !errors.Is(err, snapshots.ErrNone) {
				n.config.Log.Warn("a template can't be used", zap.Error(err))
			}
		}
		if t != nil {
			n.known[name] = t
			all = append(all, t)
		}
	}
	return all
}

// latest returns the one that was made last, of those that were made with the files as
// they are, on such a host. nil: none.
func (n *Node) latest(found []*snapshots.Snapshot, files []*storev1.File) (last *snapshots.Snapshot) {
	made := func(t *snapshots.Snapshot) int64 { return t.Record.GetSnapshot().GetCreateTime().AsTime().UnixNano() }
	for _, t := range found {
		if sameFiles(t.Record.GetFiles(), files) && n.checkTemplate(t.Record) == nil && (last == nil || made(t) > made(last)) {
			last = t
		}
	}
	return last
}

// templateOf returns what finds the template that a start was to go on from.
func (n *Node) templateOf(r *storev1.Record) func(context.Context) (instance.Images, error) {
	return func(context.Context) (instance.Images, error) {
		t, err := n.template(r.GetTemplate())
		if err == nil {
			err = n.checkTemplate(t.Record)
		}
		if err != nil {
			return instance.Images{}, &instance.RestoreError{Err: err}
		}
		return instance.Images{Snapshot: t.Path, Root: t.Record.GetImages()[0]}, nil
	}
}
