// Bulkhead-vmm runs one virtual machine. The node starts it and controls it
// over a unix socket that it inherits; it isn't meant to be run by hand, save
// for "bulkhead-vmm probe", which says what this host's KVM can do.
package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/bulkhead-vm/bulkhead/vmm/timeline"
)

func main() {
	runtime.LockOSThread() // the process's name is this thread's, and a vCPU's thread takes another
	tl := new(timeline.Timeline)
	tl.Mark("worker's main")
	args := os.Args[1:]
	run := func() error { return serve(tl, args) }
	if len(args) > 0 && args[0] == "probe" {
		run = func() error { return printProbe(os.Stdout) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bulkhead-vmm:", err)
		os.Exit(1)
	}
}
