// Bench measures Bulkhead side by side with QEMU's microvm machine and with the
// bare ioctl sequence in C, in one run, in turns, and reports medians and
// ratios: a table, JSON and plots. See README.md.
//
//	go run ./tests/bench -o out/bench
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/vmm/hostprofile"
)

func main() {
	o := options{forks: numbers{1, 10, 100}, dirty: numbers{0, 16, 64, 256}}
	flag.StringVar(&o.out, "o", "out/bench", "directory for results")
	flag.StringVar(&o.bin, "bin", "bin", "directory with the programs and guest/")
	flag.StringVar(&o.only, "only", "", "measure only these parts, such as answers,forks: "+partNames())
	flag.IntVar(&o.starts, "starts", 15, "starts up to the first KVM_RUN, each")
	flag.IntVar(&o.instructions, "instructions", 7, "runs of a guest that counts")
	flag.IntVar(&o.boots, "boots", 3, "whole boots, each")
	flag.IntVar(&o.exits, "exits", 200_000, "exits to time")
	flag.IntVar(&o.calls, "calls", 15, "calls of the node daemon's API, each")
	flag.IntVar(&o.devices, "devices", 5, "runs of each device's benchmarks")
	flag.IntVar(&o.restores, "restores", 15, "restores from a snapshot, each")
	flag.IntVar(&o.backings, "backings", 5, "restores by each backing of memory, each")
	flag.IntVar(&o.answers, "answers", 5, "sandboxes restored, and booted, up to a command's answer")
	flag.Var(&o.forks, "forks", "copies to fork a sandbox into")
	flag.IntVar(&o.forkRounds, "fork-rounds", 3, "forks into each number of copies, into 50 and more once")
	flag.Var(&o.dirty, "dirty", "MiB that a guest writes between two snapshots")
	flag.IntVar(&o.dirtyRounds, "dirty-rounds", 3, "snapshots after each of them")
	flag.IntVar(&o.siblings, "siblings", 20, "idle restored sandboxes, at most")
	flag.IntVar(&o.saves, "saves", 9, "machines saved and restored, in turns with QEMU's")
	flag.IntVar(&o.crowd, "crowd", 200, "tiny machines that go on from one snapshot, and stay")
	flag.IntVar(&o.guests, "guests", 3, "guests that do I/O, each")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "go run ./tests/bench [flags]; 0, or no number, leaves a part out")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the command line's.
type options struct {
	out, bin, only                                          string
	starts, boots, exits, calls, devices, restores, guests  int
	instructions, answers, siblings, saves, backings, crowd int
	forks, dirty                                            numbers
	forkRounds, dirtyRounds                                 int
}

// bench is a run of all measurements.
type bench struct {
	options
	ctx      context.Context // until somebody ends the run
	work     string          // scratch
	floor    string          // the compiled C programs
	shim     string
	node     *daemon     // see sharedNode
	isGolden bool        // it has the golden sandbox
	saved    *savedGuest // nil: nobody has saved it yet
	report   report
}

func run(o options) error {
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal is the end
	b := &bench{options: o, ctx: ctx, work: work}
	b.report.Host = fmt.Sprintf("%s, %d processors, %s", hostprofile.Detect(), runtime.NumCPU(), time.Now().UTC().Format(time.DateTime))
	chosen, err := b.chosen()
	if err != nil {
		return err
	}
	if err := b.compile(); err != nil {
		return err
	}
	err = errors.Join(b.measure(chosen), b.closeNode())
	if ctx.Err() != nil {
		return err
	}
	return errors.Join(b.write(), err)
}

// compile builds the C programs with the host's compiler.
func (b *bench) compile() error {
	b.floor, b.shim = filepath.Join(b.work, "floor"), filepath.Join(b.work, "shim.so")
	for _, args := range [][]string{
		{"-O2", "-o", b.floor, "tests/bench/c/floor.c"},
		{"-O2", "-shared", "-fPIC", "-o", b.shim, "tests/bench/c/shim.c", "-ldl"},
	} {
		if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("gcc: %w (make setup installs it)\n%s", err, out)
		}
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		return errors.New("qemu-system-x86_64 is missing: apt-get install qemu-system-x86")
	}
	return nil
}

func (b *bench) kernel() string { return filepath.Join(b.bin, "guest/vmlinux") }
func (b *bench) initrd() string { return filepath.Join(b.bin, "guest/initramfs.cpio") }

// write prints the table and leaves the files.
func (b *bench) write() error {
	fmt.Print(b.report.table(b.out))
	data, err := json.MarshalIndent(b.report, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(b.out, "results.json"), append(data, '\n'), 0o644),
		os.WriteFile(filepath.Join(b.out, "results.svg"), []byte(b.report.svg()), 0o644),
		b.report.savePlots(b.out),
	)
}
