package node

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestClip has a guest and a worker that say more than anybody wants to know.
func TestClip(t *testing.T) {
	const huge = 4 << 20
	s := &bulkheadv1.SandboxStatus{
		KernelRelease: strings.Repeat("ü", huge),
		Exit: &bulkheadv1.SandboxExit{
			Message:     strings.Repeat("x", huge) + "\xff",
			ConsoleTail: append(make([]byte, huge), "the end"...),
		},
	}
	for range 1000 {
		s.Phases = append(s.Phases, &bulkheadv1.StartPhase{Name: strings.Repeat("p", 1000)})
	}
	clipStatus(s)
	b, err := proto.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 32<<10 {
		t.Errorf("%d bytes are left", len(b))
	}
	if !bytes.HasSuffix(s.GetExit().GetConsoleTail(), []byte("the end")) {
		t.Error("of the console the beginning is kept")
	}
	if !strings.HasPrefix(s.GetKernelRelease(), "üü") || !strings.HasSuffix(s.GetKernelRelease(), "...") {
		t.Errorf("release %q", s.GetKernelRelease())
	}
}
