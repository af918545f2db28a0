package node

import (
	"github.com/bulkhead-vm/bulkhead/hypervisor/clip"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// The most, in bytes, that a record has of what guests, workers and errors say:
// every list of sandboxes and every change carries it.
const (
	maxRelease   = 256
	maxMessage   = 4 << 10
	maxTail      = 16 << 10
	maxPhases    = 32
	maxPhaseName = 64
)

// clipStatus cuts others' words to what a record may have.
func clipStatus(s *bulkheadv1.SandboxStatus) {
	s.KernelRelease = clip.Text(s.GetKernelRelease(), maxRelease)
	s.Problem = clip.Text(s.GetProblem(), maxMessage)
	s.Phases = s.GetPhases()[:min(len(s.GetPhases()), maxPhases)]
	for _, p := range s.GetPhases() {
		p.Name = clip.Text(p.GetName(), maxPhaseName)
	}
	if e := s.GetExit(); e != nil {
		e.Message = clip.Text(e.GetMessage(), maxMessage)
		e.ConsoleTail = e.GetConsoleTail()[max(0, len(e.GetConsoleTail())-maxTail):]
	}
}
