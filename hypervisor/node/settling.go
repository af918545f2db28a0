package node

import (
	"errors"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/instance"
	"github.com/bulkhead-vm/bulkhead/hypervisor/snapshots"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// settleOn has a start go on from a template, nil for none, once that is kept: a node
// that finds its worker must know whether the guest is one that boots.
func (s *sandbox) settleOn(t *snapshots.Snapshot, timings *instance.Timings) {
	if !s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STARTING) { // it was told to stop meanwhile
		s.started(nil, "", errCalledOff)
		return
	}
	if s.node.isClosing() {
		return // the next one goes on
	}
	id, origin := t.ID(), s.status().GetOrigin()
	before := s.record.GetTemplate()
	if id == before {
		s.run(timings)
		return
	}
	message := "starting by a boot"
	if id != "" {
		message = "starting from template " + snapshots.Short(id)
	}
	s.record.Template, s.status().Origin = id, withTemplate(origin, t)
	if err := s.keepIf(message); err != nil {
		s.record.Template, s.status().Origin = before, origin
		s.started(nil, "", err)
		return
	}
	s.run(timings)
}

// withTemplate is where a sandbox comes from whose start goes on from t, nil for none.
func withTemplate(origin *bulkheadv1.SandboxOrigin, t *snapshots.Snapshot) *bulkheadv1.SandboxOrigin {
	if t == nil && origin.GetTemplate() == "" {
		return origin
	}
	o := &bulkheadv1.SandboxOrigin{}
	if origin != nil && origin.GetSandbox() != "" { // a copy, or from a snapshot
		o = proto.CloneOf(origin)
	}
	o.Template = ""
	if t != nil {
		o.Template = t.ID()
	}
	if proto.Size(o) == 0 {
		return nil
	}
	return o
}

// bootsInstead has a start boot that couldn't go on from a template for which nobody
// had asked. It reports whether it does.
func (s *sandbox) bootsInstead(err error) bool {
	var failed *instance.RestoreError
	if !errors.As(err, &failed) || s.record.GetTemplate() == "" || spec.NamesTemplate(s.spec()) || !s.is(bulkheadv1.SandboxState_SANDBOX_STATE_STARTING) {
		return false
	}
	s.log.Warn("it can't go on from the template, and boots", zap.String("template", s.record.GetTemplate()), zap.Error(err))
	s.boots = true
	s.launch()
	return true
}
