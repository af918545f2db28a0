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
	"sync/atomic"
	"time"

	"github.com/containerd/ttrpc"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// Vsock ports; the head of agent.proto.
const (
	// FirstPort and LastPort bound the ports that are the agent's.
	FirstPort = 1024
	LastPort  = 1026

	controlPort = 1024
	streamPort  = 1025
	forwardPort = 1026
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
// path, before the machine starts or after another listener is gone.
func Listen(path string) (*Listener, error) {
	name := fmt.Sprintf("%s_%d", path, controlPort)
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listen for the guest agent: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for the guest agent: %w", err)
	}
	return &Listener{path, l}, nil
}

// Close stops waiting.
func (l *Listener) Close() error { return l.l.Close() }

// Accept waits until the agent is ready for calls, or ctx is done: then it may be
// called again.
func (l *Listener) Accept(ctx context.Context) (*Agent, error) {
	if err := l.l.SetDeadline(time.Time{}); err != nil { // of the call before
		return nil, err
	}
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
		// The agent stops saying so once it was called.
		a, err := Connect(ctx, l.path)
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return a, conn.Close()
	}
}

// deadline gives whoever reads or writes so much time; 0 is all there is. It
// fails only once conn is closed, which they notice.
func deadline(conn net.Conn, d time.Duration) {
	if d == 0 {
		conn.SetDeadline(time.Time{})
		return
	}
	conn.SetDeadline(time.Now().Add(d))
}

func readReady(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	deadline(conn, lineTime)
	defer deadline(conn, 0)
	if line, err := readLine(conn, maxLine); err != nil || line != readyLine {
		return fmt.Errorf("not an agent's greeting: %q: %w", line, err)
	}
	return nil
}

// Agent is a guest's agent, ready for calls.
type Agent struct {
	agentv1.AgentService
	path   string
	client *ttrpc.Client
	closed atomic.Bool
}

// Connect connects to the agent of a guest that is up, by the socket of its
// machine's vsock. The caller closes the agent.
func Connect(ctx context.Context, path string) (*Agent, error) {
	conn, err := dial(ctx, path, controlPort)
	if err != nil {
		return nil, fmt.Errorf("connect to the guest agent: %w", err)
	}
	a := &Agent{path: path}
	a.client = ttrpc.NewClient(&answers{Conn: conn}, ttrpc.WithOnClose(func() { a.closed.Store(true) }))
	a.AgentService = agentv1.NewAgentClient(a.client)
	return a, nil
}

// Closed reports whether the connection for calls is closed, by either side.
func (a *Agent) Closed() bool { return a.closed.Load() }

// Close hangs up.
func (a *Agent) Close() error { return a.client.Close() }

// dial connects to a port of the guest by Firecracker's protocol.
func dial(ctx context.Context, path string, port uint32) (*net.UnixConn, error) {
	// Not ctx's deadline, here and below: who keeps it by himself can fail a moment
	// before ctx is done, and nobody could tell why. A connection to a unix socket
	// is there at once or refused.
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(lineTime))
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := greet(conn, port); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, errors.Join(err, conn.Close())
	}
	if !stop() {
		return nil, errors.Join(context.Cause(ctx), conn.Close())
	}
	deadline(conn, 0)
	return conn, nil
}

func greet(conn net.Conn, port uint32) error {
	if _, err := fmt.Fprintf(conn, "CONNECT %d\n", port); err != nil {
		return err
	}
	line, err := readLine(conn, maxLine)
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
func readLine(conn net.Conn, most int) (string, error) {
	var line []byte
	for b := make([]byte, 1); len(line) < most; line = append(line, b[0]) {
		if _, err := conn.Read(b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return string(line), nil
		}
	}
	return "", errors.New("line too long")
}
