package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// specOptions are the flags that say what a sandbox is, of run and of create.
type specOptions struct {
	name      string
	labels    []string
	cpus      int
	memory    string
	rootfs    string
	disks     []string
	nets      []string
	vsock     string
	transport string
	kernel    string
	initrd    string
	cmdline   string
	dns       []string
	ttl       time.Duration
	behind    memoryFlags
	idle      time.Duration
	restart   string
	template  string
	prepare   time.Duration          // a template's limit
	given     func(flag string) bool // by the user
	copied    bool                   // the sandbox goes on from another's disks

	env         []string
	workdir     string
	user        string
	interactive bool
	tty         bool
}

// addOwnFlags adds those that say what is a sandbox's own also where all else is
// another's.
func (o *specOptions) addOwnFlags(cmd *cobra.Command) {
	o.addLifeFlags(cmd)
	cmd.Flags().StringArrayVar(&o.disks, "disk", nil, "attach a raw image or a block device, `DISK`: PATH[:OPTION[,OPTION]...] with options ro, direct, overlay and overlay=FILE; repeatable")
	o.behind.add(cmd)
}

// addLifeFlags adds those that say what can be another also for a machine that is there.
func (o *specOptions) addLifeFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVarP(&o.labels, "label", "l", nil, "label the sandbox, `KEY=VALUE`; repeatable")
	f.StringArrayVar(&o.nets, "net", nil, "plug an interface into `NETWORK`: tap=NAME or bridge=NAME[,ip=ADDRESS/BITS][,gw=ADDRESS][,mac=MAC][,mtu=N][,any-mac], or none; repeatable")
	f.StringArrayVar(&o.dns, "dns", nil, "name server for the guest, an `ADDRESS`; repeatable")
	f.DurationVar(&o.ttl, "ttl", 0, "delete the sandbox this long after it was made")
	f.DurationVar(&o.idle, "idle-timeout", 0, "stop the sandbox when nothing was run in it for this long")
	f.StringVar(&o.restart, "restart", "no", "`WHEN` to restart the sandbox by itself: no, or on-failure[:MAX]")
	cmd.RegisterFlagCompletionFunc("restart", cobra.FixedCompletions([]string{"no", "on-failure"}, cobra.ShellCompDirectiveNoFileComp)) // there is such a flag
}

func (o *specOptions) addFlags(cmd *cobra.Command) {
	o.addOwnFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "`NAME` of the sandbox (default: made up)")
	f.StringVar(&o.vsock, "vsock", "", "make a unix socket at `PATH` that reaches the guest's vsock ports")
	f.StringVar(&o.template, "template", "", "begin as the template with this `ID`, whose machine it is then, or always boot: none (default: begin as one that fits, if there is any)")
	o.addMachineFlags(cmd)
	o.addProcessFlags(cmd)
	o.addStreamFlags(cmd)
}

// addStreamFlags adds those that say what a command is connected with.
func (o *specOptions) addStreamFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&o.interactive, "interactive", "i", false, "connect standard input")
	cmd.Flags().BoolVarP(&o.tty, "tty", "t", false, "give the command a terminal")
}

// addMachineFlags adds those that say what boots.
func (o *specOptions) addMachineFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	o.given = f.Changed
	f.IntVar(&o.cpus, "cpus", 1, "`NUMBER` of virtual CPUs, 1 to 32")
	f.StringVar(&o.memory, "memory", "128M", "guest memory: a `SIZE` such as 512M or 4G")
	f.StringVar(&o.rootfs, "rootfs", "", "root file system at `PATH`: a directory, a .tar or .tar.gz, or an ext4, erofs, squashfs or raw disk image (default: a small userland that comes with Bulkhead)")
	f.StringVar(&o.transport, "transport", "mmio", "`BUS` that virtio devices are plugged into: mmio or pci")
	f.StringVar(&o.kernel, "kernel", "", "boot the vmlinux or bzImage at `PATH` instead of Bulkhead's own")
	f.StringVar(&o.initrd, "initrd", "", "use the initramfs at `PATH` instead of Bulkhead's own")
	f.StringVar(&o.cmdline, "cmdline", "", "add `WORDS` to the kernel's command line")
	cmd.RegisterFlagCompletionFunc("transport", cobra.FixedCompletions([]string{"mmio", "pci"}, cobra.ShellCompDirectiveNoFileComp)) // there is such a flag
}

// addProcessFlags adds those that say how a command runs.
func (o *specOptions) addProcessFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVarP(&o.env, "env", "e", nil, "set an environment variable, `NAME=VALUE`, or NAME to pass one on; repeatable")
	f.StringVarP(&o.workdir, "workdir", "w", "", "working `DIRECTORY` in the guest")
	f.StringVarP(&o.user, "user", "u", "", "user to run as, `USER[:GROUP]`, by name or number (default: root)")
}

// ownSpec checks the flags that addOwnFlags adds, and --vsock, and turns them into
// what a node is asked for.
func (o *specOptions) ownSpec(h *hostOptions) (s *bulkheadv1.SandboxSpec, err error) {
	s = &bulkheadv1.SandboxSpec{Nameservers: o.dns}
	if s.Labels, err = parseLabels(o.labels); err != nil {
		return nil, err
	}
	if s.Disks, err = parseDisks(o.disks, h, o.copied); err != nil {
		return nil, err
	}
	if s.Networks, err = parseNets(o.nets); err != nil {
		return nil, err
	}
	if s.Memory, err = o.behind.options(); err != nil {
		return nil, err
	}
	if s.Restart, err = parseRestart(o.restart); err != nil {
		return nil, err
	}
	if s.VsockPath, err = h.path(o.vsock); err != nil {
		return nil, err
	}
	if o.ttl != 0 {
		s.Ttl = durationpb.New(o.ttl)
	}
	if o.idle != 0 {
		s.IdleTimeout = durationpb.New(o.idle)
	}
	return s, nil
}

// spec checks all flags and does so.
func (o *specOptions) spec(h *hostOptions) (*bulkheadv1.SandboxSpec, error) {
	if err := checkCPUs(o.cpus); err != nil {
		return nil, err
	}
	memory, err := parseMemory(o.memory)
	if err != nil {
		return nil, err
	}
	s, err := o.ownSpec(h)
	if err != nil {
		return nil, err
	}
	s.Cpus, s.MemoryBytes, s.RootFs, s.Kernel = uint32(o.cpus), memory, &bulkheadv1.RootFS{}, &bulkheadv1.Kernel{Cmdline: o.cmdline}
	if s.Transport, err = parseTransport(o.transport); err != nil {
		return nil, err
	}
	if s.Template = o.template; namesTemplate(s) {
		o.leaveToTemplate(s)
	}
	for _, p := range []struct {
		given string
		to    *string
	}{{o.rootfs, &s.RootFs.Path}, {o.kernel, &s.Kernel.Image}, {o.initrd, &s.Kernel.Initrd}} {
		if *p.to, err = h.path(p.given); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// leaveToTemplate takes out of a specification what nobody gave.
func (o *specOptions) leaveToTemplate(s *bulkheadv1.SandboxSpec) {
	if !o.given("cpus") {
		s.Cpus = 0
	}
	if !o.given("memory") {
		s.MemoryBytes = 0
	}
	if !o.given("transport") {
		s.Transport = 0
	}
}

// command is what is to be run, with this terminal's size if it gets one.
func (o *specOptions) command(args []string) *bulkheadv1.Command {
	return &bulkheadv1.Command{
		Args: args, Env: environment(o.env), WorkingDir: o.workdir, User: o.user, Stdin: o.interactive,
		Terminal: openTerminal(o.tty).size(),
	}
}

const maxCPUs = 32

func checkCPUs(n int) error {
	if n < 1 || n > maxCPUs {
		return fmt.Errorf("--cpus %d: give 1 to %d", n, maxCPUs)
	}
	return nil
}

// parseMemory reads a size as docker does: a number and a unit of powers of
// 1024. It is rounded up to whole pages.
func parseMemory(s string) (uint64, error) {
	const page, least = 4096, 32 << 20
	n, err := units.RAMInBytes(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("--memory %q is not a size: give a number with a unit, such as 512M or 4G", s)
	}
	if n < least {
		return 0, fmt.Errorf("--memory %q is too small: a guest needs at least 32M", s)
	}
	return (uint64(n) + page - 1) &^ (page - 1), nil
}

func parseTransport(s string) (bulkheadv1.Transport, error) {
	switch s {
	case "", "mmio":
		return bulkheadv1.Transport_TRANSPORT_MMIO, nil
	case "pci":
		return bulkheadv1.Transport_TRANSPORT_PCI, nil
	}
	return 0, fmt.Errorf("--transport %q: there are mmio and pci", s)
}

func parseLabels(args []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--label %q: give KEY=VALUE", arg)
		}
		labels[key] = value
	}
	return labels, nil
}

// environment completes NAME with this process's own value, as docker does.
func environment(args []string) (env []string) {
	for _, arg := range args {
		if strings.Contains(arg, "=") {
			env = append(env, arg)
		} else if value, ok := os.LookupEnv(arg); ok {
			env = append(env, arg+"="+value)
		}
	}
	return env
}
