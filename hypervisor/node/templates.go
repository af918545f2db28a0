package node

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"
	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
	storev1 "github.com/bulkhead-vm/bulkhead/hypervisor/store/v1"
)

// templatesName is where in StateDir templates are, unless they are elsewhere.
const templatesName = "templates"

// findTemplate returns the name of a template in its directory, by an ID or the
// beginning of one.
func (n *Node) findTemplate(id string) (string, error) {
	name, err := n.templates.Find(id)
	if errors.Is(err, snapshots.ErrNone) {
		return "", noTemplate(id)
	}
	if err != nil {
		return "", &fault.Error{Kind: fault.NotFound, Reason: fault.ReasonNoTemplate, Resource: fault.ResourceTemplate, Subject: fmt.Sprintf("%.80s", id), Err: err}
	}
	return name, nil
}

// template returns one, with an error that clients can act on.
func (n *Node) template(id string) (*snapshots.Snapshot, error) {
	name, err := n.findTemplate(id)
	if err != nil {
		return nil, err
	}
	s, err := n.templates.GetTemplate(name)
	var (
		damaged *snapshots.DamagedError
		later   *snapshot.VersionError
	)
	switch {
	case errors.Is(err, snapshots.ErrNone):
		return nil, noTemplate(id)
	case errors.As(err, &damaged):
		return nil, &fault.Error{Kind: fault.Precondition, Reason: fault.ReasonTemplateDamaged, Resource: fault.ResourceTemplate, Subject: snapshots.TemplateID(name),
			Message: fmt.Sprintf("template %s is damaged: %v: delete it, and make another", snapshots.Short(name), damaged.Err)}
	case errors.As(err, &later):
		return nil, &fault.Error{Kind: fault.Precondition, Reason: fault.ReasonUnfit, Resource: fault.ResourceTemplate, Subject: snapshots.TemplateID(name),
			Message: fmt.Sprintf("template %s can't be used: %v", snapshots.Short(name), later)}
	}
	return s, err
}

func noTemplate(id string) error {
	id = fmt.Sprintf("%.80s", id)
	return &fault.Error{Kind: fault.NotFound, Reason: fault.ReasonNoTemplate, Resource: fault.ResourceTemplate, Subject: id,
		Message: fmt.Sprintf("there is no template %q", id)}
}

// GetTemplate returns the template with an ID, or one that begins so.
func (n *Node) GetTemplate(id string) (*bulkheadv1.Template, error) {
	s, err := n.template(id)
	if err != nil {
		return nil, err
	}
	return n.shownTemplate(s.Record), nil
}

// shownTemplate is a template as clients have it.
func (n *Node) shownTemplate(r *storev1.Snapshot) *bulkheadv1.Template {
	s := r.GetSnapshot()
	t := &bulkheadv1.Template{
		Id: s.GetDigest(), Labels: s.GetLabels(), Spec: proto.CloneOf(s.GetSpec()), Prepare: r.GetPrepare(), CreateTime: s.GetCreateTime(), Client: s.GetClient(),
		StoredBytes: s.GetStoredBytes(), Version: s.GetVersion(), HostProfile: s.GetHostProfile(), CpuVendor: s.GetCpuVendor(),
		KernelRelease: r.GetKernelRelease(), Devices: s.GetDevices(),
	}
	t.Spec.Template = "" // of the sandbox that it was made in
	if err := n.checkTemplate(r); err != nil {
		t.Problem = err.Error()
	}
	return t
}

// CountTemplates returns how many there are.
func (n *Node) CountTemplates() (int, error) {
	names, err := n.templates.Names()
	return len(names), err
}

// ListTemplates returns a page of the templates that are asked for. Of one that is
// damaged it says so.
func (n *Node) ListTemplates(r *bulkheadv1.ListTemplatesRequest) (*bulkheadv1.ListTemplatesResponse, error) {
	asked, err := readPage(r)
	if err != nil {
		return nil, err
	}
	names, err := n.templates.Names()
	if err != nil {
		return nil, err
	}
	page, bytes, last := &bulkheadv1.ListTemplatesResponse{}, 0, ""
	for _, name := range names {
		if name <= asked.after {
			continue
		}
		t, ok := n.listedTemplate(name)
		if !ok || !asked.selector.Matches(t.GetLabels()) {
			continue
		}
		if len(page.Templates) == asked.size || bytes >= pageBytes {
			page.NextPageToken = token(last, 0)
			break
		}
		page.Templates, bytes, last = append(page.Templates, t), bytes+proto.Size(t), name
	}
	return page, nil
}

// listedTemplate returns a template as lists have it, unless it has just been deleted.
func (n *Node) listedTemplate(name string) (*bulkheadv1.Template, bool) {
	s, err := n.templates.GetTemplate(name)
	switch {
	case errors.Is(err, snapshots.ErrNone):
		return nil, false
	case err != nil:
		return &bulkheadv1.Template{Id: snapshots.TemplateID(name), Problem: err.Error()}, true
	}
	return n.shownTemplate(s.Record), true
}

// DeleteTemplate removes the template with an ID, or one that begins so, and returns its
// ID. It fails while a pool has it.
func (n *Node) DeleteTemplate(id string) (string, error) {
	name, err := n.findTemplate(id)
	if err != nil {
		return "", err
	}
	n.admission.Lock() // no pool comes to have it meanwhile
	defer n.admission.Unlock()
	if err := n.checkUnpooled(snapshots.TemplateID(name)); err != nil {
		return "", err
	}
	if err := n.templates.Remove(name, ""); errors.Is(err, snapshots.ErrNone) {
		return "", noTemplate(id)
	} else if err != nil {
		return "", err
	}
	return snapshots.TemplateID(name), nil
}
