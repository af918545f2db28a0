// Mkguest builds what a sandbox's guest is made of and puts it into a
// directory, bin/guest unless told otherwise. What was built before comes
// from a cache outside the checkout.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/bulkhead-vm/bulkhead/guestkernel/cache"
	"github.com/bulkhead-vm/bulkhead/guestkernel/progress"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mkguest:", err)
		os.Exit(1)
	}
}

type options struct {
	out           string
	kernelOnly    bool
	printPackages bool
	jobs          int
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("mkguest", flag.ContinueOnError)
	f.StringVar(&o.out, "o", "bin/guest", "put the guest's files into `DIR`")
	f.IntVar(&o.jobs, "j", runtime.NumCPU(), "run `N` compilers at once")
	f.BoolVar(&o.kernelOnly, "kernel-only", false, "build the kernel and nothing else")
	f.BoolVar(&o.printPackages, "print-packages", false, "print the Debian packages that the build needs, and end")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	chosen := choose(parts(), o.kernelOnly)
	if o.printPackages {
		fmt.Println(strings.Join(packages(chosen), "\n"))
		return nil
	}
	line := progress.New(os.Stderr)
	defer line.Done()
	dir, err := cache.DefaultDir()
	if err != nil {
		return err
	}
	c, err := cache.Open(dir, line.Say)
	if err != nil {
		return err
	}
	return buildAll(ctx, chosen, env{cache: c, progress: line, jobs: o.jobs}, o.out)
}

func buildAll(ctx context.Context, chosen []part, e env, out string) error {
	for _, p := range chosen {
		files, err := p.build(ctx, e)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if err := place(files, out); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		for _, f := range files {
			e.progress.Say(f.target(out))
		}
	}
	return nil
}
