package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
)

// runOptions are the flags of run.
type runOptions struct {
	cpus   int
	memory string
	rootfs string
	disks  []string
	net    string
	vsock  string

	transport string

	kernel  string
	initrd  string
	cmdline string
	name    string

	env         []string
	workdir     string
	user        string
	interactive bool
	tty         bool

	timeout time.Duration
	console bool
	json    string
}

const runExample = `  # A shell in a kernel of its own
  bulkhead run -it -- sh

  # A program from a root file system, with two CPUs and a time limit
  bulkhead run --rootfs ./debian --cpus 2 --memory 512M --timeout 1m -- python3 script.py

  # Through a pipe
  tar c . | bulkhead run -i -- sha256sum`

func newRun() *cobra.Command {
	o := &runOptions{}
	cmd := &cobra.Command{
		Use:     "run [flags] -- COMMAND [ARG...]",
		Short:   "Run a command in a microVM of its own",
		Long:    runLong,
		Example: runExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args)
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // flags after the command are the command's
	f.IntVar(&o.cpus, "cpus", 1, "number of virtual CPUs, 1 to 32")
	f.StringVar(&o.memory, "memory", "128M", "guest memory, such as 512M or 4G")
	f.StringVar(&o.rootfs, "rootfs", "", "root file system: a directory, a .tar or .tar.gz, or an ext4, erofs, squashfs or raw disk image (default: a small userland that comes with Bulkhead)")
	f.StringArrayVar(&o.disks, "disk", nil, "attach a raw disk image; options are ro, direct and overlay=FILE: `PATH[:OPTION[,OPTION]...]`; repeatable")
	f.StringVar(&o.net, "net", "none", "network: none, or `tap=NAME` for an existing tap interface")
	f.StringVar(&o.vsock, "vsock", "", "make a unix socket at `PATH` that reaches the guest's vsock ports")
	f.StringVar(&o.transport, "transport", string(node.MMIO), "what virtio devices are plugged into: mmio or pci")
	f.StringVar(&o.kernel, "kernel", "", "boot this vmlinux or bzImage instead of Bulkhead's own")
	f.StringVar(&o.initrd, "initrd", "", "use this initramfs instead of Bulkhead's own")
	f.StringVar(&o.cmdline, "cmdline", "", "add `WORDS` to the kernel's command line")
	f.StringVar(&o.name, "name", "", "name of the sandbox (default: made up)")
	f.StringArrayVarP(&o.env, "env", "e", nil, "set an environment variable, `NAME=VALUE`, or NAME to pass one on; repeatable")
	f.StringVarP(&o.workdir, "workdir", "w", "", "working directory in the guest")
	f.StringVarP(&o.user, "user", "u", "", "user to run as, `USER[:GROUP]`, by name or number (default: root)")
	f.BoolVarP(&o.interactive, "interactive", "i", false, "connect standard input")
	f.BoolVarP(&o.tty, "tty", "t", false, "give the command a terminal")
	f.DurationVar(&o.timeout, "timeout", 0, "end the command after this long, such as 90s (exit code 124)")
	f.BoolVar(&o.console, "console", false, "show the guest's console on standard error")
	f.StringVar(&o.json, "json", "", "print a result object as the last line of standard output, or write it to `FILE` with --json=FILE")
	f.Lookup("json").NoOptDefVal = jsonToStdout
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return &exitError{exitFailure, err}
	})
	return cmd
}

const runLong = `Run a command in a microVM of its own: a Linux kernel that nothing else on
this machine shares.

The root file system is mounted read-only; what the command writes goes to
memory and is gone when it ends, except on disks given with --disk.

Exit codes: the command's own, 128+n if signal n ended it, 124 if --timeout
did, 125 if Bulkhead failed, 126 if the command can't be executed, 127 if there
is no such command. The first Ctrl-C goes to the command; a second one ends it.`

// spec checks the flags and turns them into what the node runs.
func (o *runOptions) spec() (node.Spec, error) {
	s := node.Spec{
		Name: o.name, CPUs: o.cpus,
		RootFS: o.rootfs, VsockPath: o.vsock,
		Transport: node.Transport(o.transport),
		Kernel:    o.kernel, Initrd: o.initrd, Cmdline: o.cmdline,
		Tied: true, BootTimeout: bootTime,
	}
	if err := checkCPUs(o.cpus); err != nil {
		return s, err
	}
	if o.timeout < 0 {
		return s, fmt.Errorf("--timeout %v is in the past: give a time such as 90s, or none", o.timeout)
	}
	if err := s.Transport.Check(); err != nil {
		return s, fmt.Errorf("--transport: %w", err)
	}
	var err error
	if s.Memory, err = parseMemory(o.memory); err != nil {
		return s, err
	}
	if s.Disks, err = parseDisks(o.disks); err != nil {
		return s, err
	}
	s.Network, err = parseNet(o.net)
	return s, err
}

func (o *runOptions) command(args []string) guest.Command {
	return guest.Command{
		Args: args, Env: environment(o.env), Dir: o.workdir, User: o.user, Stdin: o.interactive,
	}
}
