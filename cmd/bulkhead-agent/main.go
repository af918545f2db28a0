// The runtime needn't look every second how many CPUs there are now.
//go:debug updatemaxprocs=0

// Bulkhead-agent is the first process of every guest: it sets the guest up,
// runs its processes and turns it off, as the host says over vsock.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/freezer"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/mounts"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/plainfile"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/power"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/vsock"
	"github.com/bulkhead-vm/bulkhead/vmm/slack"
)

// Ports; agent.proto.
const (
	controlPort = 1024
	stdioPort   = 1025
	forwardPort = 1026
	readyPort   = 1024 // the host's
)

const (
	maxCommandLine = 1 << 20
	// wordTimerSlack and a time, such as "10ms", let timers be as late.
	wordTimerSlack = "bulkhead.timerslack="
)

func main() {
	err := run()
	fmt.Fprintln(os.Stderr, "bulkhead-agent:", err)
	os.Exit(1) // and the kernel panics, which the host sees
}

// run returns only when it can't go on.
func run() error {
	if os.Getpid() != 1 {
		return fmt.Errorf("this is the first process of a guest, nothing to be run by hand")
	}
	if err := prepare(); err != nil {
		return err
	}
	line, err := plainfile.Read("/proc/cmdline", maxCommandLine)
	if err != nil {
		return err
	}
	if err := tune(string(line)); err != nil {
		return err
	}
	control, err := vsock.Listen(controlPort, vsock.Host)
	if err != nil {
		return err
	}
	stdio, err := vsock.Listen(stdioPort, vsock.Host)
	if err != nil {
		return err
	}
	forward, err := vsock.Listen(forwardPort, vsock.Host)
	if err != nil {
		return err
	}
	return agent.Run(agent.Config{
		Control:     control,
		Stdio:       stdio,
		Forward:     forward,
		Dial:        dialHost,
		CommandLine: string(line),
		PowerOff:    func() { powerOff(string(line)) },
		Freezer:     freezer.New(),
	})
}

// prepare does what processes inherit, and what has to come first. The out of
// memory killer leaves the first process alone by itself.
func prepare() error {
	syscall.Umask(0o022)
	// As many files as 1024 processes' streams and 256 forwarded connections take;
	// a process may have more.
	files := syscall.Rlimit{Cur: 8192, Max: 512 << 10}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	return mounts.Proc()
}

// tune does what the command line says of the machine.
func tune(line string) error {
	value := ""
	for _, word := range strings.Fields(line) { // the last one counts
		if v, ok := strings.CutPrefix(word, wordTimerSlack); ok {
			value = v
		}
	}
	if value == "" {
		return nil
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		return fmt.Errorf("command line: %s%s: %w", wordTimerSlack, value, err)
	}
	return slack.Set(d)
}

func dialHost(ctx context.Context) (net.Conn, error) {
	c, err := vsock.Dial(ctx, vsock.Host, readyPort)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func powerOff(commandLine string) {
	fmt.Fprintln(os.Stderr, "bulkhead-agent:", power.Off(commandLine))
	os.Exit(1)
}
