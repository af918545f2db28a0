// Package agent is the guest agent put together: the first process of every
// guest, which the host calls to have it set up, used and turned off.
package agent

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/forward"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/freezer"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/process"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/ready"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/rescue"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/server"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/transfer"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// Words of the kernel's command line.
const (
	wordReadyOnConsole = "bulkhead.ready=console"
	wordRescue         = "bulkhead.rescue"
)

const (
	rescueAfter = 10 * time.Second
	signalGrace = 5 * time.Second
)

// Config is what the agent needs of the machine.
type Config struct {
	Control net.Listener // for calls
	Stdio   net.Listener // for the bytes of processes and files; its connections are streams.Conn
	Forward net.Listener // for TCP ports of the guest, likewise; nil: not forwarded
	// Dial connects to where the host wants to be told that it can call.
	Dial        func(context.Context) (net.Conn, error)
	CommandLine string // the kernel's
	PowerOff    func() // turns the machine off
	// Freezer is where processes are started. nil: they can't be frozen.
	Freezer *freezer.Freezer
}

// Run serves until Control fails, which takes somebody to close it.
func Run(c Config) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	hub := streams.NewHub()
	control := newControl(c.Control)
	config := server.Config{Hub: hub, Files: transfer.New(hub), Off: func(caller bool) func() {
		if !caller {
			return c.PowerOff
		}
		return control.thenAnswer(c.PowerOff)
	}}
	into := process.Anywhere
	if c.Freezer != nil {
		into, config.Freezer = c.Freezer.Enter, c.Freezer
	}
	config.Table = process.NewTable(hub, into)
	service := server.New(config)
	srv, err := ttrpc.NewServer()
	if err != nil {
		return fmt.Errorf("start to serve: %w", err)
	}
	agentv1.RegisterAgentService(srv, service)
	obeySignals(service) // before anybody hears that the guest is up

	announcer := ready.Announcer{Dial: c.Dial, Calls: control.calls}
	go announcer.Run(ctx)
	go hub.Serve(c.Stdio)
	if c.Forward != nil {
		go forward.Serve(c.Forward, &hub.Buffers)
	}
	words := strings.Fields(c.CommandLine)
	for _, w := range words {
		switch w {
		case wordReadyOnConsole:
			sayReady()
		case wordRescue:
			time.AfterFunc(rescueAfter, func() { rescueUnless(service.Begun(), config.Table) })
		}
	}
	return srv.Serve(ctx, control)
}

// sayReady is for tests of a kernel, and for people, who have no vsock.
func sayReady() {
	fd, err := unix.Open("/dev/console", unix.O_WRONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	_, _ = unix.Write(fd, []byte("bulkhead-agent: ready\n"))
	unix.Close(fd)
}

func rescueUnless(begun <-chan struct{}, table *process.Table) {
	select {
	case <-begun:
		return
	default:
	}
	if _, err := rescue.Start(table); err != nil {
		fmt.Fprintln(os.Stderr, "bulkhead-agent:", err)
	}
}

// signalPowerButton is what the kernel sends for a pressed power button:
// CONFIG_ACPI_TINY_POWER_BUTTON_SIGNAL. It is glibc's SIGRTMIN+4.
const signalPowerButton = unix.Signal(38)

// obeySignals turns the machine off for those by which poweroff, halt, reboot,
// Ctrl-Alt-Del and the power button tell the first process, and drops the
// others: they would end it, and the guest with it.
func obeySignals(s *server.Service) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGUSR1, unix.SIGUSR2, signalPowerButton, unix.SIGHUP, unix.SIGQUIT)
	go func() {
		for sig := range signals {
			if sig != unix.SIGHUP && sig != unix.SIGQUIT {
				s.ShutDown(signalGrace)
			}
		}
	}()
}
