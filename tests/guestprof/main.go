// Guestprof shows where a guest's kernel spends its time: it boots a guest,
// runs a command in it, and looks again and again at which function the first
// vCPU is in.
//
//	go run ./tests/guestprof -system-map FILE -rootfs IMAGE -- COMMAND
//
// It matters on hosts whose KVM emulates guest kernels, where a boot is seconds
// long and every function on its way can be felt.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/bulkhead-vm/bulkhead/devices/backend/file"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/blk"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/rng"
	"github.com/bulkhead-vm/bulkhead/devices/virtio/vsock"
	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/vmm/hostprofile"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/machine"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

type options struct {
	kernel, initrd, rootfs, symbols, cmdline string
	memory                                   uint64
	interval                                 time.Duration
	top                                      int
	command                                  []string
}

func main() {
	var o options
	flag.StringVar(&o.kernel, "kernel", "bin/guest/vmlinux", "kernel")
	flag.StringVar(&o.initrd, "initrd", "bin/guest/initramfs.cpio", "initramfs")
	flag.StringVar(&o.rootfs, "rootfs", "bin/guest/userland.erofs", "root file system image")
	flag.StringVar(&o.symbols, "system-map", "bin/guest/System.map", "the kernel's symbols")
	flag.StringVar(&o.cmdline, "cmdline", "", "more kernel command line words")
	flag.Uint64Var(&o.memory, "memory", 128, "MiB of memory")
	flag.DurationVar(&o.interval, "interval", time.Millisecond, "time between samples")
	flag.IntVar(&o.top, "top", 40, "functions to list for each phase")
	flag.Parse()
	o.command = flag.Args()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "guestprof:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	symbols, err := readSymbols(o.symbols)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "guestprof")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "v.sock")
	agent, err := guest.Listen(path)
	if err != nil {
		return err
	}
	m, err := assemble(o, path)
	if err != nil {
		return err
	}
	defer m.Close()
	p := newProfiler(m, symbols, o.interval)
	m.Start()
	go p.sample()
	go func() {
		<-m.Done()
		fmt.Fprintln(os.Stderr, "guestprof: the machine ended:", m.End())
	}()
	if err := drive(o, agent, p); err != nil {
		return err
	}
	p.print(os.Stdout, o.top)
	return nil
}

// drive takes the guest through its phases.
func drive(o options, l *guest.Listener, p *profiler) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	p.phase("boot")
	a, err := l.Accept(ctx)
	if err != nil {
		return err
	}
	p.phase("setup")
	_, err = a.Setup(ctx, &agentv1.SetupRequest{Root: &agentv1.RootFS{
		Device: "/dev/vda", Upper: &agentv1.RootFS_Tmpfs{Tmpfs: &agentv1.TmpfsUpper{}},
	}})
	if err != nil {
		return err
	}
	if len(o.command) == 0 {
		p.phase("")
		return nil
	}
	p.phase("start")
	proc, err := a.Start(ctx, guest.Command{Args: o.command})
	if err != nil {
		return err
	}
	p.phase("command")
	go io.Copy(os.Stderr, proc.Stderr)
	go io.Copy(os.Stderr, proc.Stdout)
	_, err = proc.Wait(ctx)
	p.phase("")
	return err
}

func assemble(o options, vsockPath string) (*machine.Machine, error) {
	sys, err := kvm.Open("")
	if err != nil {
		return nil, err
	}
	defer sys.Close()
	kernel, err := os.Open(o.kernel)
	if err != nil {
		return nil, err
	}
	initrd, err := os.Open(o.initrd)
	if err != nil {
		return nil, err
	}
	info, err := initrd.Stat()
	if err != nil {
		return nil, err
	}
	disk, err := file.Open(o.rootfs, file.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	root, err := blk.New(blk.Config{Backend: disk})
	if err != nil {
		return nil, err
	}
	socket, err := vsock.New(vsock.Config{CID: 3, Routes: []vsock.Route{{Path: vsockPath}}})
	if err != nil {
		return nil, err
	}
	return machine.New(sys, machine.Config{
		Memory: o.memory << 20, Cmdline: o.cmdline,
		Kernel: kernel, Initrd: io.NewSectionReader(initrd, 0, info.Size()),
		Devices: []machine.Device{{Name: "root", Device: root}, {Name: "vsock", Device: socket}, {Name: "rng", Device: rng.New(rng.Config{})}},
		Console: os.Stderr, Profile: hostprofile.Detect(),
	})
}
