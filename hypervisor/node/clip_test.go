package node

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

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
	if !strings.HasPrefix(s.GetKernelRelease(), "üü") || !strings.HasSuffix(s.GetKernelRelease(), "…") {
		t.Errorf("release %q", s.GetKernelRelease())
	}
}

func TestClipKeepsText(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"6.1.0", "6.1.0"},
		{"12345678", "12345678"},
		{"123456789", "12345…"},
		{"1234üüü", "1234…"},
		{"a\xffb", "a\uFFFDb"},
	} {
		if got := clip(c.in, 8); got != c.want || !utf8.ValidString(got) || len(got) > 8 {
			t.Errorf("clip(%q) = %q, not %q", c.in, got, c.want)
		}
	}
}
