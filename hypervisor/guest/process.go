package guest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// Command says what to run in a guest.
type Command struct {
	Args    []string
	Env     []string // "NAME=VALUE"
	Dir     string   // empty: the user's home
	User    string   // empty: root
	Stdin   bool     // whether there will be a standard input
	Console *Size    // set: on a terminal of this size
}

// request returns the agent's, for a process with an ID.
func (c Command) request(id string) *agentv1.StartRequest {
	r := &agentv1.StartRequest{
		Id: id, Args: c.Args, Env: c.Env, Workdir: c.Dir, User: c.User, Stdin: c.Stdin,
	}
	if c.Console != nil {
		r.Terminal = &agentv1.TerminalSize{Rows: c.Console.Rows, Columns: c.Console.Columns}
	}
	return r
}

// Size is the size of a terminal.
type Size struct{ Rows, Columns uint32 }

// ErrNotFound and ErrNotExecutable are wrapped by errors of Start for a command
// that isn't there, or is but can't be run.
var (
	ErrNotFound      = errors.New("command not found")
	ErrNotExecutable = errors.New("command can't be executed")
)

// Process is a process in a guest.
type Process struct {
	// Stdin takes its input; its CloseWrite is the end of file.
	Stdin *net.UnixConn
	// Stdout and Stderr carry its output, and end with it. On a terminal
	// Stderr is nil. Each must be read: a process that isn't is made to wait.
	Stdout, Stderr io.ReadCloser

	agent *Agent
	id    string
	conns []*net.UnixConn
}

// Start runs a command, which ends with the process's streams. The caller closes
// the process.
func (a *Agent) Start(ctx context.Context, c Command) (*Process, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	p := &Process{agent: a, id: newID()}
	if err := p.attach(ctx, c); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	req := c.request(p.id)
	req.Tied = true
	if _, err := a.AgentService.Start(ctx, req); err != nil {
		return nil, errors.Join(explainStart(c, err), p.Close())
	}
	return p, nil
}

// explainStart tells a command that can't be run from a failure of Bulkhead's.
func explainStart(c Command, err error) error {
	s := status.Convert(err)
	switch s.Code() {
	case codes.NotFound:
		return fmt.Errorf("%w: %s", ErrNotFound, s.Message())
	case codes.PermissionDenied:
		return fmt.Errorf("%w: %s", ErrNotExecutable, s.Message())
	}
	return fmt.Errorf("start %q in the guest: %w", c.Args, err)
}

// attach opens the process's streams; its start waits for them.
func (p *Process) attach(ctx context.Context, c Command) (err error) {
	stdio, err := p.open(ctx, "stdio")
	if err != nil {
		return err
	}
	p.Stdin, p.Stdout = stdio, stdio
	if !c.Stdin && c.Console == nil {
		stdio.CloseWrite() // fails only if the guest has gone, which Start will tell
	}
	if c.Console == nil {
		stderr, err := p.open(ctx, "stderr")
		if err != nil {
			return err
		}
		p.Stderr = stderr
	}
	return nil
}

func (p *Process) open(ctx context.Context, stream string) (*net.UnixConn, error) {
	conn, err := dial(ctx, p.agent.path, streamPort)
	if err != nil {
		return nil, fmt.Errorf("open the process's %s: %w", stream, err)
	}
	p.conns = append(p.conns, conn)
	if _, err := io.WriteString(conn, greeting(p.id, stream)); err != nil {
		return nil, fmt.Errorf("open the process's %s: %w", stream, err)
	}
	return conn, nil
}

// greeting says which stream of which process a connection is.
func greeting(id, stream string) string { return fmt.Sprintf("bulkhead-stdio/1 %s %s\n", id, stream) }

func newID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Process returns a process that was started before, by whomever, for all but its
// streams.
func (a *Agent) Process(id string) *Process { return &Process{agent: a, id: id} }

// ID returns the agent's name for the process.
func (p *Process) ID() string { return p.id }

// Wait waits for the process to end.
func (p *Process) Wait(ctx context.Context) (*agentv1.WaitResponse, error) {
	return p.agent.Wait(ctx, &agentv1.WaitRequest{Id: p.id})
}

// Signal sends a signal to the process and its group.
func (p *Process) Signal(ctx context.Context, signal int) error {
	_, err := p.agent.Signal(ctx, &agentv1.SignalRequest{Id: p.id, Signal: int32(signal), Group: true})
	return err
}

// Resize changes the size of the process's terminal.
func (p *Process) Resize(ctx context.Context, s Size) error {
	_, err := p.agent.Resize(ctx, &agentv1.ResizeRequest{
		Id: p.id, Size: &agentv1.TerminalSize{Rows: s.Rows, Columns: s.Columns},
	})
	return err
}

// Close lets go of the process's streams, which ends the process.
func (p *Process) Close() (err error) {
	for _, c := range p.conns {
		err = errors.Join(err, c.Close())
	}
	return err
}
