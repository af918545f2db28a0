// Package spec says what a sandbox may be asked to be.
package spec

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/labels"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Limits of a specification.
const (
	MaxCPUs     = 32
	MinMemory   = 32 << 20
	maxMemory   = 1 << 44 // 16 TiB: beyond any guest's addresses
	maxDisks    = 16
	maxNetworks = 8
	maxStrings  = 4096    // arguments, or variables of an environment
	maxText     = 1 << 20 // of all of them, as Linux has it for most stacks
	maxOwnText  = 1 << 17 // likewise, of a sandbox's own command: it is kept with each change
	maxSpec     = 1 << 18 // of everything
	maxPath     = 4095
	maxCmdline  = 1024
	maxRestarts = 1 << 20
	maxTime     = 10 * 365 * 24 * time.Hour
	minBackoff  = 100 * time.Millisecond // each restart is several changes of the state, kept on disk

	defaultMemory = 128 << 20
	pageSize      = 4096
)

// checker collects what is wrong.
type checker struct {
	policy     Policy
	violations []fault.Violation
}

// maxViolations is how many are told. Who made so many mistakes finds the others
// when these are mended.
const maxViolations = 16

func (c *checker) wrong(field, format string, args ...any) {
	if len(c.violations) == maxViolations {
		return
	}
	c.violations = append(c.violations, fault.Violation{Field: field, Description: fmt.Sprintf(format, args...)})
}

// WithDefaults returns a specification in which nothing is left to defaults that
// others must agree on, but for what is a snapshot's or a template's.
func WithDefaults(s *bulkheadv1.SandboxSpec) *bulkheadv1.SandboxSpec {
	s = clone(s)
	inherits := s.GetSnapshot() != "" || NamesTemplate(s)
	if s.Cpus == 0 && !inherits {
		s.Cpus = 1
	}
	if s.MemoryBytes == 0 && !inherits {
		s.MemoryBytes = defaultMemory
	}
	s.MemoryBytes = (s.MemoryBytes + pageSize - 1) &^ (pageSize - 1)
	return s
}

// Check returns what is wrong with the request for a sandbox.
func Check(r *bulkheadv1.CreateSandboxRequest, p Policy) []fault.Violation {
	c := &checker{policy: p}
	c.name("name", r.GetName())
	c.requestID(r.GetRequestId())
	c.spec(r.GetSpec())
	return c.violations
}

// spec checks all that can be said of a specification by itself.
func (c *checker) spec(s *bulkheadv1.SandboxSpec) {
	if err := labels.Check(s.GetLabels()); err != nil {
		c.wrong("spec.labels", "%v", err)
	}
	c.machine(s)
	c.memory(s)
	if c.disks(s.GetDisks()) {
		c.paths(s)
	}
	c.networks(s.GetNetworks())
	c.addresses("spec.nameservers", s.GetNameservers(), parseAddress)
	c.life(s)
	if s.GetCommand() != nil {
		c.command("spec.command", s.GetCommand(), maxOwnText)
	}
	if n := proto.Size(s); n > maxSpec {
		c.wrong("spec", "%d bytes in all, %d is the most: put what is large into an image, or into files once it runs", n, maxSpec)
	}
	c.name("spec.snapshot", s.GetSnapshot())
	c.templateID(s)
}

func (c *checker) machine(s *bulkheadv1.SandboxSpec) {
	if n := s.GetCpus(); n > MaxCPUs {
		c.wrong("spec.cpus", "%d, a sandbox has 1 to %d", n, MaxCPUs)
	}
	if n := s.GetMemoryBytes(); n != 0 && n < MinMemory || n > maxMemory {
		c.wrong("spec.memory_bytes", "%d bytes, a guest needs at least 32 MiB and can have up to 16 TiB", n)
	}
	if _, ok := bulkheadv1.Transport_name[int32(s.GetTransport())]; !ok {
		c.wrong("spec.transport", "%d is none", s.GetTransport())
	}
	switch words := s.GetKernel().GetCmdline(); {
	case len(words) > maxCmdline:
		c.wrong("spec.kernel.cmdline", "%d bytes, %d is the most", len(words), maxCmdline)
	case strings.ContainsFunc(words, func(r rune) bool { return r < ' ' || r > '~' }):
		c.wrong("spec.kernel.cmdline", "it has characters that aren't printable ASCII")
	}
}

// disks reports whether they are so few that each can be looked at.
func (c *checker) disks(disks []*bulkheadv1.Disk) bool {
	if n := len(disks); n > maxDisks {
		c.wrong("spec.disks", "%d, a sandbox has up to %d", n, maxDisks)
		return false
	}
	for i, d := range disks {
		field := fmt.Sprintf("spec.disks[%d]", i)
		overlay := d.GetOverlay() || d.GetOverlayPath() != ""
		switch {
		case overlay && d.GetReadOnly():
			c.wrong(field+".overlay", "an overlay is for writing: leave read_only out, the image itself is only read")
		case overlay && d.GetDirect():
			c.wrong(field+".direct", "an overlay is in the host's page cache: leave direct out")
		}
	}
	return true
}

func (c *checker) life(s *bulkheadv1.SandboxSpec) {
	c.duration("spec.ttl", s.GetTtl())
	c.duration("spec.idle_timeout", s.GetIdleTimeout())
	c.duration("spec.boot_timeout", s.GetBootTimeout())
	r := s.GetRestart()
	if _, ok := bulkheadv1.RestartMode_name[int32(r.GetMode())]; !ok {
		c.wrong("spec.restart.mode", "%d is none", r.GetMode())
	}
	if r.GetMaxRestarts() > maxRestarts {
		c.wrong("spec.restart.max_restarts", "%d, %d is the most", r.GetMaxRestarts(), maxRestarts)
	}
	c.backoff("spec.restart.backoff", r.GetBackoff())
	c.backoff("spec.restart.max_backoff", r.GetMaxBackoff())
}
