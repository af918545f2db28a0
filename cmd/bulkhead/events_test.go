package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestEventsForgotten: a gap in what is shown is said, once, and not among it.
func TestEventsForgotten(t *testing.T) {
	const bookmark = bulkheadv1.EventType_EVENT_TYPE_BOOKMARK
	for _, format := range []string{formatTable, formatJSON} {
		var out, err strings.Builder
		cmd, o := &cobra.Command{}, &output{format: format}
		cmd.SetOut(&out)
		cmd.SetErr(&err)
		for _, m := range []*bulkheadv1.WatchSandboxesResponse{
			{Type: bookmark, Time: timestamppb.Now()}, // of a node on which nothing has happened
			{Type: bookmark},
			{Type: bulkheadv1.EventType_EVENT_TYPE_ADDED, Time: timestamppb.Now(), Sandbox: &bulkheadv1.Sandbox{Name: "box"}},
			{Type: bookmark, Time: timestamppb.Now(), ResourceVersion: 3},
		} {
			if err := o.event(cmd, m); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), "box") {
			t.Errorf("%s: %q", format, &out)
		}
		if strings.Count(err.String(), "\n") != 1 || !strings.Contains(err.String(), "forgotten") {
			t.Errorf("%s: %q", format, &err)
		}
	}
}
