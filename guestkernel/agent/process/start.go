package process

import (
	"context"
	"strings"
	"syscall"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/plainfile"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/stdio"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/streams"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/user"
)

// Spec is a process to be started.
type Spec struct {
	ID       string
	Args     []string // the command, looked up in PATH unless it has a slash
	Env      []string // "NAME=VALUE", wins over what the agent sets
	Dir      string   // "": the user's home, or "/" if it isn't there
	User     string   // as package user has it
	Stdin    bool
	Terminal *stdio.Size // nil: pipes
	Tied     bool        // ended with its group when the host closes "stdio" altogether
}

func (s *Spec) check() error {
	if err := streams.CheckID(s.ID); err != nil {
		return err
	}
	if len(s.Args) == 0 || s.Args[0] == "" {
		return fail.Errorf(fail.Invalid, "no command given")
	}
	for _, list := range [][]string{s.Args, s.Env, {s.Dir}} {
		for _, str := range list {
			if strings.IndexByte(str, 0) >= 0 {
				return fail.Errorf(fail.Invalid, "%q has a NUL byte", str)
			}
		}
	}
	for _, e := range s.Env {
		if strings.IndexByte(e, '=') < 1 {
			return fail.Errorf(fail.Invalid, "environment %q is not NAME=VALUE", e)
		}
	}
	if s.Dir != "" && s.Dir[0] != '/' {
		return fail.Errorf(fail.Invalid, "working directory %q is not an absolute path", s.Dir)
	}
	return nil
}

// Start starts a process, and waits up to 10 seconds for the connections of
// its streams. The process leads a session and group of its own. One that isn't tied is
// started also if ctx ends: the next host asks for it again, and hears that it is there,
// or why it couldn't be started.
func (t *Table) Start(ctx context.Context, s Spec) (pid int, err error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	if err := t.pass(ctx); err != nil { // rather than wait with its connections there
		return 0, err
	}
	p, err := t.reserve(s.ID)
	if fail.KindOf(err) == fail.Exists {
		return 0, t.outcome(ctx, s.ID, err)
	}
	if err != nil {
		return 0, err
	}
	if !s.Tied {
		ctx = context.WithoutCancel(ctx)
	}
	err = t.start(ctx, p, &s)
	p.failed = err
	close(p.begun)
	if err != nil {
		t.release(p)
		t.hub.Drop(s.ID, streams.Stdio, streams.Stderr)
		close(p.done) // with pid 0: for Wait
		return 0, err
	}
	return p.pid, nil
}

// outcome waits for the process that has an ID, if it is just being started. It returns
// why it couldn't be, or else taken.
func (t *Table) outcome(ctx context.Context, id string, taken error) error {
	t.mu.Lock()
	p := t.byID[id]
	t.mu.Unlock()
	if p == nil {
		return taken
	}
	select {
	case <-p.begun:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if p.failed != nil {
		return p.failed
	}
	return taken
}

func (t *Table) start(ctx context.Context, p *process, s *Spec) error {
	u, err := user.Lookup("/etc", s.User)
	if err != nil {
		return err
	}
	c, err := newCommand(s, u)
	if err != nil {
		return err
	}
	r := stdio.Request{ID: s.ID, Stdin: s.Stdin, Terminal: s.Terminal, Owner: int(u.UID)}
	if s.Tied {
		r.Gone = func() { t.kill(p) }
	}
	if p.io, err = stdio.Open(ctx, t.hub, r); err != nil {
		return err
	}
	c.attr.Files = p.io.Files()
	err = t.fork(ctx, p, func(cgroup int) (int, error) {
		c.attr.Sys.UseCgroupFD, c.attr.Sys.CgroupFD = cgroup >= 0, cgroup
		pid, err := c.start()
		if err == nil {
			p.io.Start()
		}
		return pid, err
	})
	if err != nil {
		p.io.Abort()
	}
	return err
}

// newCommand finds everything that can be found out before the fork.
func newCommand(s *Spec, u user.User) (*command, error) {
	env := environment(s, u)
	dir := s.Dir
	if dir == "" {
		if dir = u.Home; !plainfile.IsDir(dir) {
			dir = "/"
		}
	} else if !plainfile.IsDir(dir) {
		return nil, fail.Errorf(fail.Invalid, "no directory %s in the guest", dir)
	}
	paths, err := lookUp(s.Args[0], valueOf(env, "PATH"), dir)
	if err != nil {
		return nil, err
	}
	return &command{paths, s.Args, syscall.ProcAttr{
		Dir: dir,
		Env: env,
		Sys: &syscall.SysProcAttr{
			Setsid:     true,
			Setctty:    s.Terminal != nil, // of stream 0
			Credential: &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups},
		},
	}}, nil
}
