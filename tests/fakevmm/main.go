// Fakevmm is used in place of bulkhead-vmm where a test is of what is around it.
package main

import (
	"fmt"
	"os"

	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"
)

func main() {
	workertest.Main()
	fmt.Fprintln(os.Stderr, "fakevmm: to be started by a node")
	os.Exit(1)
}
