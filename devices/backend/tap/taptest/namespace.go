// Package taptest gives tests a tap and a network namespace for it, which
// nobody else on the host sees.
package taptest

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Name is the tap of a namespace.
const Name = "bh0"

// Options change the tap.
type Options struct {
	Address    string // the host's end, such as 10.99.0.1/24; empty: none
	MultiQueue bool   // for a guest with several queues
}

// Namespace moves the calling goroutine, and what it starts from then on, to a
// network namespace of its own with a tap that is up. It takes root, and skips
// the test without. The goroutine keeps its thread, which goes with it.
func Namespace(t testing.TB, o Options) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: making a network namespace takes root")
	}
	runtime.LockOSThread() // never unlocked: nobody else is to have this thread
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	kind := ""
	if o.MultiQueue {
		kind = " multi_queue"
	}
	ip(t, "tuntap add "+Name+" mode tap"+kind)
	ip(t, "link set "+Name+" up")
	if o.Address != "" {
		ip(t, "addr add "+o.Address+" dev "+Name)
	}
}

func ip(t testing.TB, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
}
