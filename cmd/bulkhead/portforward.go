package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

func newPortForward(h *hostOptions) *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use:   "port-forward SANDBOX [LOCAL:]REMOTE...",
		Short: "Connect ports here with TCP ports on the loopback of a sandbox's guest",
		Args:  cobra.MinimumNArgs(2), ValidArgsFunction: h.completeFirst,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := h.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			if err := checkForward(ctx, c, args[0]); err != nil {
				return err
			}
			return forwardAll(ctx, c, args[0], address, args[1:])
		},
	}
	cmd.Flags().StringVar(&address, "address", "127.0.0.1", "address to listen on")
	return cmd
}

// checkForward fails where no connection would come about.
func checkForward(ctx context.Context, c *client.Client, sandbox string) error {
	r, err := c.GetSandbox(ctx, &bulkheadv1.GetSandboxRequest{Name: sandbox})
	if err != nil {
		return plain(err)
	}
	if state := r.GetSandbox().GetStatus().GetState(); !slices.Contains(running, state) {
		return fmt.Errorf("sandbox %q is %s: start it first", sandbox, words(state.String(), "SANDBOX_STATE_"))
	}
	return nil
}

// forwardAll listens on all ports, until ctx is done.
func forwardAll(ctx context.Context, c *client.Client, sandbox, address string, ports []string) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, arg := range ports {
		local, remote, err := parsePorts(arg)
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp", net.JoinHostPort(address, local))
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { l.Close() })
		fmt.Printf("Forwarding from %v -> %d\n", l.Addr(), remote)
		serving.Go(func() { forwardPort(ctx, c, sandbox, l, remote) })
	}
	<-ctx.Done()
	return nil
}

// parsePorts reads [LOCAL:]REMOTE; an empty LOCAL is any.
func parsePorts(arg string) (local string, remote uint16, err error) {
	local, after, ok := strings.Cut(arg, ":")
	if !ok {
		after = local
	}
	n, err := strconv.ParseUint(after, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("port %q: give [LOCAL:]REMOTE, such as 8080:80", arg)
	}
	if local == "" {
		local = "0"
	}
	return local, uint16(n), nil
}

func forwardPort(ctx context.Context, c *client.Client, sandbox string, l net.Listener, remote uint16) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			if err := forwardOne(ctx, c, sandbox, conn, remote); err != nil {
				fmt.Fprintln(os.Stderr, "bulkhead:", oneLine(plain(err)))
			}
		}()
	}
}

// forwardOne carries one connection.
func forwardOne(ctx context.Context, c *client.Client, sandbox string, here net.Conn, remote uint16) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer here.Close()
	defer context.AfterFunc(ctx, func() { here.Close() })()
	there, err := c.Forward(ctx, sandbox, remote)
	if err != nil {
		return err
	}
	defer there.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(there, here)
		sent <- errors.Join(err, there.CloseWrite())
	}()
	_, err = io.Copy(here, there)
	if tcp, ok := here.(*net.TCPConn); ok && err == nil {
		tcp.CloseWrite()
		<-sent // what is still on its way there
	}
	return err
}
