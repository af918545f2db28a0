package e2e

import (
	"testing"

	"github.com/bulkhead-vm/bulkhead/tests/pyclient"
)

// TestPythonClient uses a daemon and real guests from a program that has nothing
// of them but the .proto files.
func TestPythonClient(t *testing.T) {
	t.Parallel()
	n := newDaemonNode(t)
	n.log.waitFor(t, `"msg":"ready"`)
	pyclient.Run(t, n.host())
}
