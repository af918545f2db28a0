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
	template(t) // which its guest goes on from
	n := newDaemonNode(t)
	n.log.waitFor(t, `"msg":"ready"`)
	pyclient.Run(t, n.host(), "--rootfs", shellRoot(t), "--cases", "guests", "--file-mib", "1")
}
