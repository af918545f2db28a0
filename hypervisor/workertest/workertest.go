// Package workertest is a worker without KVM, for tests of what is around it: the
// same protocol on the same sockets, with a process in place of the machine. In
// that process the agent is the real one, and runs the host's own programs; only
// its set-up does nothing. A start takes milliseconds.
//
//	node ─▶ fake worker ─▶ fake guest: guestkernel/agent, a PID namespace of its own
//
// A test's TestMain, or a program that is used as the worker's, calls Main first.
package workertest

import (
	"flag"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"

	vmmv1 "github.com/bulkhead-vm/bulkhead/vmm/api/v1"
)

// Words of a kernel's command line that a fake machine obeys.
const (
	// WordNoBoot has the guest never come up.
	WordNoBoot = "fake.noboot"
	// WordPanic has it panic at once in place of that.
	WordPanic = "fake.panic"
	// WordBadMachine has the machine refused.
	WordBadMachine = "fake.bad"
	// WordSlow has the guest take half a second to come up.
	WordSlow = "fake.slow"
	// WordSlowPause has a pause take half a second, and WordLostPause its answer
	// not arrive.
	WordSlowPause = "fake.slowpause"
	WordLostPause = "fake.lostpause"
	// WordSlowSave has a snapshot take a second, WordHungSave never end, and
	// WordFullSave find no room on its disk.
	WordSlowSave = "fake.slowsave"
	WordHungSave = "fake.hungsave"
	WordFullSave = "fake.fullsave"
	// WordOld has a worker of an earlier version: it does all of a snapshot in one call,
	// and starts no machine by the call that makes it.
	WordOld = "fake.old"
	// WordHeldDisk has what isn't done while the guest stands still wait until there is a file "prepare",
	// and then "publish", in its directory; "publishing" says that the second waits.
	// WordLateFull has that find no room on its disk.
	WordHeldDisk = "fake.helddisk"
	WordLateFull = "fake.latefull"
	// WordSlowRead has a snapshot that a machine goes on from take four seconds to be read,
	// and WordHungRead never be.
	WordSlowRead = "fake.slowread"
	WordHungRead = "fake.hungread"
	// WordNoThaw has a guest that stands still not go on until there is a file "thaw" in
	// its directory, "guest" in the sandbox's bundle.
	WordNoThaw = "fake.nothaw"
	// WordCut has the first connection to the agent of a guest that was restored be
	// cut off.
	WordCut = "fake.cut"
	// WordLies has the worker say that it is the process whose ID is in a file "says" in
	// the sandbox's bundle, once there is one.
	WordLies = "fake.lies"
)

// envGuest is set in the guest's process, to the directory of its sockets.
const envGuest = "BULKHEAD_FAKE_GUEST"

// Main is a fake worker, and doesn't return, if the process was started as one:
// with the flags that package supervise gives. Else it does nothing.
func Main() {
	if dir := os.Getenv(envGuest); dir != "" {
		exit(runGuest(dir))
	}
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "-control-fd=") {
		exit(serve(os.Args[1:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "probe" {
		fmt.Println(`{"profile": "fake"}`)
		os.Exit(0)
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "fake worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// inherited is more than how many descriptors a worker is given.
const inherited = 8

// serve is bulkhead-vmm's serve.
func serve(args []string) error {
	flags := flag.NewFlagSet("fake worker", flag.ContinueOnError)
	control := flags.Int("control-fd", 3, "")
	lifeline := flags.Int("lifeline-fd", -1, "")
	flags.Int("console-fd", -1, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for fd := *control; fd < *control+inherited; fd++ {
		unix.CloseOnExec(fd) // the guest lives on for a moment, and has none of it
	}
	l, err := net.FileListener(os.NewFile(uintptr(*control), "control"))
	if err != nil {
		return err
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	w := newWorker(l.Addr().String())
	vmmv1.RegisterWorkerService(server, w)
	return w.run(server, l, *lifeline)
}
