package server

import (
	"slices"
	"strings"
	"testing"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// TestNamesThatGuestsMakeUp: a guest says what is in a directory, and not what is
// beside or above it.
func TestNamesThatGuestsMakeUp(t *testing.T) {
	saying := func(names ...string) *agentv1.ReadDirResponse {
		list := &agentv1.ReadDirResponse{More: true}
		for _, name := range names {
			list.Files = append(list.Files, &agentv1.FileInfo{Name: name})
		}
		return list
	}
	page := pageOf("/dir", saying("a", "", ".", "..", "../../etc/cron.d/x", "sub/file", "nul\x00", strings.Repeat("x", 256), "b", "/"))
	var names []string
	for _, f := range page.GetFiles() {
		names = append(names, f.GetPath())
	}
	if !slices.Equal(names, []string{"/dir/a", "/dir/b"}) || page.GetNextPageToken() != "b" {
		t.Errorf("names %q, then %q", names, page.GetNextPageToken())
	}
	if page := pageOf("/dir", saying("", ".", "..")); page.GetNextPageToken() != "" || len(page.GetFiles()) != 0 {
		t.Errorf("of nothing but such names: %v", page)
	}
}
