package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/freezer"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/mounts"
)

// The agent under test is the first process of namespaces of its own: this
// test binary, started again with these.
const (
	envInitramfs   = "BULKHEAD_TEST_INITRAMFS"
	envCommandLine = "BULKHEAD_TEST_COMMAND_LINE"
	envCgroup      = "BULKHEAD_TEST_CGROUP" // whether it is in a cgroup of its own
)

// Values of envCgroup.
const (
	cgroupOwn  = "own"
	cgroupRoot = "root" // and sees it as the root of all
)

// Descriptors that it inherits.
const (
	fdControl = 3 + iota
	fdStdio
	fdForward
	fdHost
)

// echoPort is one that the guest answers on.
const echoPort = 7

func TestMain(m *testing.M) {
	if dir := os.Getenv(envInitramfs); dir != "" {
		fmt.Fprintln(os.Stderr, "agent:", beInit(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// beInit makes a copy of dir in memory the root, as if the kernel had unpacked
// an initramfs. Nothing of the host's disks may be mounted in it: the agent
// makes disks read-only in the end.
func beInit(dir string) error {
	if os.Getpid() != 1 {
		return errors.New("not in a PID namespace")
	}
	var freeze *freezer.Freezer
	switch os.Getenv(envCgroup) {
	case cgroupOwn:
		return rootCgroup()
	case cgroupRoot:
		freeze = freezer.New()
	}
	card, err := tap("eth0")
	if err != nil {
		return err
	}
	defer card.Close()
	for _, step := range []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount("initramfs", "/mnt", "tmpfs", 0, "") },
		func() error { return os.CopyFS("/mnt", os.DirFS(dir)) },
		func() error { return unix.Chroot("/mnt") },
		func() error { return unix.Chdir("/") },
		mounts.Proc,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	control, err := net.FileListener(os.NewFile(fdControl, "control"))
	if err != nil {
		return err
	}
	stdio, err := net.FileListener(os.NewFile(fdStdio, "stdio"))
	if err != nil {
		return err
	}
	forward, err := net.FileListener(os.NewFile(fdForward, "forward"))
	if err != nil {
		return err
	}
	if err := serveEcho(); err != nil {
		return err
	}
	return Run(Config{
		Control: control,
		Stdio:   stdio,
		Forward: forward,
		Dial: func(context.Context) (net.Conn, error) {
			f := os.NewFile(fdHost, "host")
			defer f.Close()
			return net.FileConn(f)
		},
		CommandLine: os.Getenv(envCommandLine),
		PowerOff:    func() { unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) },
		Freezer:     freeze,
	})
}

// rootCgroup goes on as a program for which the cgroup that it is in is the root of
// all. Other threads of this one would see the host's.
func rootCgroup() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return err
	}
	os.Setenv(envCgroup, cgroupRoot)
	return unix.Exec("/proc/self/exe", os.Args, os.Environ())
}

// tap makes an interface that is there as long as the file is open.
func tap(name string) (*os.File, error) {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	return f, unix.IoctlIfreq(int(f.Fd()), unix.TUNSETIFF, ifr)
}

// serveEcho has what comes to echoPort go back.
func serveEcho() error {
	l, err := net.Listen("tcp4", fmt.Sprintf(":%d", echoPort))
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); io.Copy(c, c) }()
		}
	}()
	return nil
}
