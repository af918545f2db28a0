package spec

import (
	"fmt"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/labels"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// CheckSaved returns what is wrong with a specification that comes out of a snapshot,
// in part or all of it: all that Check looks at, and what no client need give.
func CheckSaved(s *bulkheadv1.SandboxSpec, p Policy) []fault.Violation {
	c := &checker{policy: p}
	if s.GetCpus() == 0 {
		c.wrong("spec.cpus", "0, a sandbox has 1 to %d", MaxCPUs)
	}
	if s.GetMemoryBytes() == 0 {
		c.wrong("spec.memory_bytes", "0, a guest needs at least 32 MiB")
	}
	c.spec(s)
	return c.violations
}

// CheckImages returns what is wrong with the images that a snapshot needs, of a
// machine with so many disks beside its root: they are within the directories of the
// policy, and its root's may be in others, which are the node's own.
func CheckImages(images []string, disks int, p Policy, own ...string) []fault.Violation {
	c := &checker{policy: p}
	if len(images) != disks+1 {
		c.wrong("images", "%d, of a root file system and %d disks", len(images), disks)
		return c.violations
	}
	for i, path := range images {
		field := fmt.Sprintf("images[%d]", i)
		switch {
		case i == 0 && c.hostPath(field, path) && within(path, own), i > 0 && path == "":
		case i > 0, len(c.violations) == 0:
			c.path(field, path)
		}
	}
	return c.violations
}

// maxWords is how long may be what a snapshot says of itself.
const maxWords = 256

// CheckDescription returns what is wrong with what a snapshot of another node says of
// itself.
func CheckDescription(s *bulkheadv1.Snapshot) []fault.Violation {
	c := new(checker)
	if err := labels.Check(s.GetLabels()); err != nil {
		c.wrong("labels", "%v", err)
	}
	if c.name("sandbox", s.GetSandbox()); s.GetSandbox() == "" {
		c.wrong("sandbox", "it isn't said of which it was taken")
	}
	if s.GetUid() == "" {
		c.wrong("uid", "it has none")
	}
	for field, text := range map[string]string{
		"uid": s.GetUid(), "sandbox_uid": s.GetSandboxUid(), "version": s.GetVersion(), "host_profile": s.GetHostProfile(), "cpu_vendor": s.GetCpuVendor(),
		"parent_uid": s.GetParentUid(), "parent_digest": s.GetParentDigest(), "whole_reason": s.GetWholeReason(),
	} {
		if len(text) > maxWords {
			c.wrong(field, "%d bytes, %d is the most", len(text), maxWords)
		}
	}
	if n := len(s.GetDevices()); n > maxDisks+maxNetworks+8 {
		c.wrong("devices", "%d of them", n)
	}
	for _, d := range s.GetDevices() {
		if len(d.GetName()) > maxWords || len(d.GetType()) > maxWords {
			c.wrong("devices", "one has a long name")
		}
	}
	if s.GetCpus() != s.GetSpec().GetCpus() || s.GetMemoryBytes() != s.GetSpec().GetMemoryBytes() {
		c.wrong("spec", "%d CPUs and %d bytes of memory, the machine has %d and %d", s.GetSpec().GetCpus(), s.GetSpec().GetMemoryBytes(), s.GetCpus(), s.GetMemoryBytes())
	}
	return c.violations
}
