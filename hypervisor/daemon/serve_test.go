package daemon

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/store/bolt"
)

// TestSocketsBeforeNode has a daemon whose node doesn't come up: its sockets are there
// before, when nothing yet runs that the mode of files meanwhile is wrong for. And
// they go with it.
func TestSocketsBeforeNode(t *testing.T) {
	dir, err := os.MkdirTemp("", "daemon") // sockets have little room
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	c := Default()
	c.Node = NodeConfig{RuntimeDir: dir + "/run", StateDir: dir, CacheDir: dir + "/cache"}
	c.Listen.Unix, c.Metrics.Listen, c.Cgroups.Enabled = filepath.Join(dir, "api"), "unix:"+dir+"/metrics", false
	state, err := bolt.Open(filepath.Join(dir, stateName)) // it is in use
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	ended := make(chan error, 1)
	go func() { ended <- Run(t.Context(), Options{Config: c}) }()
	connected := map[string]bool{}
	for {
		for _, name := range []string{"api", "metrics"} {
			if conn, err := net.Dial("unix", filepath.Join(dir, name)); err == nil {
				conn.Close()
				connected[name] = true
			}
		}
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(err.Error(), "in use by another process") {
				t.Errorf("the daemon ended with %v", err)
			}
			if len(connected) != 2 {
				t.Errorf("before the node there were %v", connected)
			}
			for name := range connected {
				if _, err := os.Lstat(filepath.Join(dir, name)); !os.IsNotExist(err) {
					t.Errorf("%s is left: %v", name, err)
				}
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}
