// Package guest is the host's end of the guest agent's protocol: it waits for
// the agent, calls it, and carries the stdio of the processes it runs.
//
// Bytes from a guest are not to be trusted: what is parsed here is bounded in
// size and time.
package guest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/containerd/ttrpc"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// Vsock ports; the head of agent.proto.
const (
	// FirstPort and LastPort bound the ports that are the agent's.
	FirstPort = 1024
	LastPort  = 1025

	controlPort = 1024
	stdioPort   = 1025
)

const (
	readyLine = "bulkhead-agent/1 ready"
	// lineTime is how long one line of a handshake may take.
	lineTime = 10 * time.Second
	// startTime is how long an agent may take to start a command.
	startTime = time.Minute
)

// Listener waits for a guest's agent to report.
type Listener struct {
	path string // of the machine's vsock
	l    *net.UnixListener
}

// Listen prepares for the agent of a machine whose vsock has its socket at
// path, before the machine starts.
func Listen(path string) (*Listener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fmt.Sprintf("%s_%d", path, controlPort), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for the guest agent: %w", err)
	}
	return &Listener{path, l}, nil
}

// Close stops waiting.
func (l *Listener) Close() error { return l.l.Close() }

// Accept waits until the agent is ready for calls.
func (l *Listener) Accept(ctx context.Context) (*Agent, error) {
	stop := context.AfterFunc(ctx, func() { l.l.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		conn, err := l.l.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return nil, err
		}
		if err := readReady(ctx, conn); err != nil {
			conn.Close()
			continue // whoever that was, it wasn't the agent
		}
		return connect(ctx, l.path, conn)
	}
}

func readReady(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	conn.SetDeadline(time.Now().Add(lineTime))
	defer conn.SetDeadline(time.Time{})
	if line, err := readLine(conn); err != nil || line != readyLine {
		return fmt.Errorf("not an agent's greeting: %q: %w", line, err)
	}
	return nil
}

// Agent is a guest's agent, ready for calls.
type Agent struct {
	agentv1.AgentService
	path   string
	hello  net.Conn // open as long as the agent is
	client *ttrpc.Client
}

func connect(ctx context.Context, path string, hello net.Conn) (*Agent, error) {
	conn, err := dial(ctx, path, controlPort)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to the guest agent: %w", err), hello.Close())
	}
	client := ttrpc.NewClient(&answers{Conn: conn})
	return &Agent{AgentService: agentv1.NewAgentClient(client), path: path, hello: hello, client: client}, nil
}

// Close hangs up.
func (a *Agent) Close() error { return errors.Join(a.client.Close(), a.hello.Close()) }

// dial connects to a port of the guest by Firecracker's protocol.
func dial(ctx context.Context, path string, port uint32) (conn *net.UnixConn, err error) {
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	conn = c.(*net.UnixConn)
	deadline := time.Now().Add(lineTime)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	conn.SetDeadline(deadline)
	if err := greet(conn, port); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	conn.SetDeadline(time.Time{})
	return conn, nil
}

func greet(conn net.Conn, port uint32) error {
	if _, err := fmt.Fprintf(conn, "CONNECT %d\n", port); err != nil {
		return err
	}
	line, err := readLine(conn)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("guest port %d: no answer", port)
	case err != nil:
		return fmt.Errorf("guest port %d: refused", port)
	case !strings.HasPrefix(line, "OK "):
		return fmt.Errorf("guest port %d: unexpected answer %q", port, line)
	}
	return nil
}

// maxLine bounds the answer to CONNECT.
const maxLine = 32

// readLine reads a line, byte by byte: what follows it isn't for us.
func readLine(conn net.Conn) (string, error) {
	var line []byte
	for b := make([]byte, 1); len(line) < maxLine; line = append(line, b[0]) {
		if _, err := conn.Read(b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return string(line), nil
		}
	}
	return "", errors.New("line too long")
}
