package spec

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/labels"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// NoTemplate is a specification's template that has it always boot.
const NoTemplate = "none"

// NamesTemplate reports whether a specification is of what goes on from a certain
// template.
func NamesTemplate(s *bulkheadv1.SandboxSpec) bool {
	return s.GetTemplate() != "" && s.GetTemplate() != NoTemplate
}

// templateID checks what a specification has for one. Whether there is such a template
// is the node's to say.
func (c *checker) templateID(s *bulkheadv1.SandboxSpec) {
	switch {
	case s.GetTemplate() == "":
	case s.GetSnapshot() != "":
		c.wrong("spec.template", "the sandbox goes on from a snapshot: leave it out")
	case s.GetTemplate() == NoTemplate:
	default:
		c.someTemplate("spec.template", s.GetTemplate(), ", or none")
	}
}

// someTemplate checks what is to be an ID, or, as more says, something else.
func (c *checker) someTemplate(field, id, more string) {
	digits := strings.TrimPrefix(id, "sha256:")
	if len(digits) < 12 || len(digits) > 64 || strings.Trim(digits, "0123456789abcdef") != "" {
		c.wrong(field, "%.80q is no ID: give 12 to 64 of its digits%s", id, more)
	}
}

// machineFields are what a template's specification may have. All else is a sandbox's
// own.
var machineFields = []protoreflect.Name{"cpus", "memory_bytes", "root_fs", "kernel", "transport", "disks", "networks", "boot_timeout"}

// CheckTemplate returns what is wrong with the request for a template.
func CheckTemplate(r *bulkheadv1.CreateTemplateRequest, p Policy) []fault.Violation {
	c := &checker{policy: p}
	c.requestID(r.GetRequestId())
	if err := labels.Check(r.GetLabels()); err != nil {
		c.wrong("labels", "%v", err)
	}
	c.spec(r.GetSpec())
	c.onlyMachine(r.GetSpec())
	if command := r.GetPrepare(); command != nil {
		c.command("prepare", command, maxOwnText)
		if command.GetStdin() || command.GetTerminal() != nil {
			c.wrong("prepare", "nobody is there for its input: leave stdin and terminal out")
		}
	}
	c.prepareTimeout(r)
	return c.violations
}

func (c *checker) prepareTimeout(r *bulkheadv1.CreateTemplateRequest) {
	c.duration("prepare_timeout", r.GetPrepareTimeout())
	switch t := r.GetPrepareTimeout(); {
	case t == nil:
	case r.GetPrepare() == nil:
		c.wrong("prepare_timeout", "there is no command that takes time: leave it out, or give prepare")
	case c.policy.PrepareTimeout > 0 && t.AsDuration() > c.policy.PrepareTimeout:
		c.wrong("prepare_timeout", "it is more than %v, the most on this node (limits.max_prepare_timeout)", c.policy.PrepareTimeout)
	}
}

func (c *checker) onlyMachine(s *bulkheadv1.SandboxSpec) {
	s.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if !slices.Contains(machineFields, f.Name()) {
			c.wrong("spec."+string(f.Name()), "it is a sandbox's own, not a template's: leave it out")
		}
		return true
	})
	for i, d := range s.GetDisks() {
		if !d.GetReadOnly() {
			c.wrong(fmt.Sprintf("spec.disks[%d]", i), "what is written is a sandbox's own: a template's disks are read_only")
		}
	}
	for i, n := range s.GetNetworks() {
		if n.GetMac() != "" || len(n.GetAddresses())+len(n.GetGateways()) > 0 || n.GetMtu() != 0 {
			c.wrong(fmt.Sprintf("spec.networks[%d]", i), "addresses and MTU are a sandbox's own: give only a tap or a bridge")
		}
	}
}

// Machine returns of a specification with defaults what a guest that has booted can't
// have in another way: two of which it is the same can go on from the same template.
// ok is whether one can at all.
func Machine(s *bulkheadv1.SandboxSpec) (m *bulkheadv1.SandboxSpec, ok bool) {
	m = &bulkheadv1.SandboxSpec{
		Cpus: s.GetCpus(), MemoryBytes: s.GetMemoryBytes(), Transport: bus(s.GetTransport()),
		RootFs: &bulkheadv1.RootFS{Path: s.GetRootFs().GetPath()},
		Kernel: &bulkheadv1.Kernel{Image: s.GetKernel().GetImage(), Initrd: s.GetKernel().GetInitrd(), Cmdline: s.GetKernel().GetCmdline()},
	}
	for _, d := range s.GetDisks() {
		if !d.GetReadOnly() {
			return nil, false
		}
		m.Disks = append(m.Disks, &bulkheadv1.Disk{Path: d.GetPath(), ReadOnly: true})
	}
	for range s.GetNetworks() {
		m.Networks = append(m.Networks, &bulkheadv1.Network{})
	}
	return m, true
}

// InheritTemplate is Inherit for a sandbox that goes on from a template of the
// specification from. Its command is its own.
func InheritTemplate(s, from *bulkheadv1.SandboxSpec) (*bulkheadv1.SandboxSpec, []fault.Violation) {
	from = clone(from)
	from.Command = s.GetCommand()
	full, wrong := Inherit(s, from)
	if len(wrong) > 0 {
		return nil, wrong
	}
	want, _ := Machine(from)
	if m, ok := Machine(full); !ok || !proto.Equal(m, want) {
		return nil, []fault.Violation{{Field: "spec.disks", Description: "they aren't those of the template: leave them out"}}
	}
	return full, nil
}
