package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// The network between host and guest, as c/load.c has it.
const (
	benchTap    = "bench0"
	hostAddress = "10.97.0.1"

	portSend    = 7001
	portReceive = 7002
	portPing    = 7003
)

// inNamespace calls f on a thread in a network namespace of its own that has a
// tap, with servers for the guest behind it. What f starts is in it as well.
func inNamespace(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread goes with its namespace
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("make a network namespace: %w (run as root)", err)
			}
			for _, args := range []string{
				"tuntap add " + benchTap + " mode tap", "link set " + benchTap + " up",
				"addr add " + hostAddress + "/24 dev " + benchTap,
			} {
				if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
					return fmt.Errorf("ip %s: %w\n%s", args, err, out)
				}
			}
			stop, err := serveGuests()
			if err != nil {
				return err
			}
			defer stop()
			return f()
		}()
	}()
	return <-done
}

// serveGuests takes connections, each with a task of its port's.
func serveGuests() (stop func(), err error) {
	var listeners []net.Listener
	stop = func() {
		for _, l := range listeners {
			l.Close()
		}
	}
	for port, serve := range map[int]func(net.Conn){portSend: take, portReceive: give, portPing: echo} {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", hostAddress, port))
		if err != nil {
			stop()
			return nil, err
		}
		listeners = append(listeners, l)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				serve(c)
				c.Close()
			}
		}()
	}
	return stop, nil
}

// take reads all that comes and says so.
func take(c net.Conn) {
	io.Copy(io.Discard, c)
	c.Write([]byte{1})
}

// give writes as many bytes as it is told.
func give(c net.Conn) {
	var n uint64
	if err := binary.Read(c, binary.LittleEndian, &n); err != nil {
		return
	}
	for buf := make([]byte, 256<<10); n > 0; {
		part := buf[:min(n, uint64(len(buf)))]
		if _, err := c.Write(part); err != nil {
			return
		}
		n -= uint64(len(part))
	}
}

// echo sends back what comes.
func echo(c net.Conn) { io.Copy(c, c) }
