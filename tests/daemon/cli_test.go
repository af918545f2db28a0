package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestCommandLine runs each script in testdata/script against a daemon of its own.
func TestCommandLine(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		t.Run(filepath.Base(script), func(t *testing.T) {
			h := newHost(t, "")
			d := h.start()
			t.Cleanup(func() { // when the script is over: it runs beside others
				h.clear(h.dial())
				d.stop()
			})
			testscript.Run(t, testscript.Params{
				Files: []string{script},
				Setup: func(env *testscript.Env) error {
					env.Setenv("PATH", filepath.Dir(h.cli)+":"+os.Getenv("PATH"))
					env.Setenv("BULKHEAD_HOST", "unix://"+h.socket())
					env.Setenv("IMAGES", h.path("images"))
					return nil
				},
				RequireExplicitExec: true,
			})
		})
	}
}
