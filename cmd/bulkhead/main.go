// Bulkhead runs workloads in microVMs, each with a Linux kernel of its own.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"

	"github.com/containerd/log"
	"github.com/spf13/cobra"
)

func main() {
	// The RPC library logs what came too late for who had asked.
	log.SetLevel("panic")
	os.Exit(execute(os.Args[1:]))
}

// execute runs the command line and returns the exit code.
func execute(args []string) int {
	root := newRoot()
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		exit = &exitError{code: failureOf(cmd), err: err}
	}
	if exit.err != nil {
		fmt.Fprintln(os.Stderr, "bulkhead:", oneLine(exit.err))
	}
	return exit.code
}

// maxMessage bounds what is printed of an error.
const maxMessage = 2048

// oneLine puts errors that were joined into one line. Parts of it may come from
// a guest, and no part is to move a terminal's cursor.
func oneLine(err error) string {
	text := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
	if len(text) > maxMessage {
		text = text[:maxMessage] + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

const rootLong = `Run workloads in microVMs, each with a Linux kernel of its own.

"bulkhead run" and "bulkhead template" need no daemon. All other commands but
doctor are for sandboxes of a node: of the daemon on this host, unless --host or
$BULKHEAD_HOST names another. With either, or with --detach and --daemon, run and
template are for that node, too.

Exit codes: those of run, exec, attach and pool claim are the command's, and 125
where Bulkhead failed; see "bulkhead run --help". All others end with 0, or with 1
and one line on standard error that says what failed and what to do about it.`

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "bulkhead",
		Short:         "Run workloads in microVMs, each with a Linux kernel of its own",
		Long:          rootLong,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	h := &hostOptions{}
	h.addFlags(root)
	root.AddCommand(newRun(h), newCreate(h), newStart(h), newStop(h), newKill(h), newPause(h), newResume(h), newRm(h),
		newPs(h), newInspect(h), newSnapshot(h), newRestore(h), newFork(h), newTemplate(h), newPool(h), newExec(h), newAttach(h), newLogs(h), newCp(h), newPortForward(h), newStats(h), newEvents(h), newNodeCommand(h),
		newDoctor(), newVersion(), newMan())
	root.SetFlagErrorFunc(flagError)
	sayUsage(root)
	return root
}
