package e2e

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/tests/pyclient"
)

// TestPythonClient uses a daemon and a real guest from a program that has nothing
// of them but the .proto files. tests/daemon has it use all of the API; here it is
// one guest.
func TestPythonClient(t *testing.T) {
	t.Parallel()
	n := newDaemonNode(t)
	n.log.waitFor(t, `"msg":"ready"`)
	pyclient.Run(t, n.host(), "--cases", "guests", "--file-mib", "1")
}
