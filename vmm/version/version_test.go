package version

import "testing"

func TestChoose(t *testing.T) {
	for _, tt := range []struct{ release, module, want string }{
		{"v1.2.3", "v0.0.0-2026", "v1.2.3"},
		{"", "v0.0.0-2026", "v0.0.0-2026"},
		{"", "(devel)", "development build"},
		{"", "", "development build"},
	} {
		if got := choose(tt.release, tt.module); got != tt.want {
			t.Errorf("release %q, module %q: %q, want %q", tt.release, tt.module, got, tt.want)
		}
	}
	if Text() == "" {
		t.Error("this program has no version")
	}
}
