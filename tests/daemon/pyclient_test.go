package daemon

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/tests/pyclient"
)

// TestPythonClient uses the node from a program that has nothing of it but its
// .proto files. The fake guest's files are the host's.
func TestPythonClient(t *testing.T) {
	h := newHost(t, "")
	d := h.start()
	pyclient.Run(t, "unix://"+h.socket(), "--guest-dir", t.TempDir(), "--start-timeout", "60")
	d.stop()
	h.mustBeClean()
}
