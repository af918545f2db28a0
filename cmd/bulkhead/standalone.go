package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/bulkhead-vm/bulkhead/guestkernel/cache"
	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/server"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"
)

// bootTime is the most a guest may take to come up.
const bootTime = 5 * time.Minute

// envTemplates moves this user's templates, which are else in the cache, by the name
// templatesName.
const (
	envTemplates  = "BULKHEAD_TEMPLATES"
	templatesName = "templates"
)

func templateDir() (string, error) {
	if dir := os.Getenv(envTemplates); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := cache.DefaultDir()
	return filepath.Join(dir, templatesName), err
}

// newNode returns a node within this process, whose sandboxes end with it.
func newNode() (*node.Node, error) {
	templates, err := templateDir()
	if err != nil {
		return nil, err
	}
	return node.Open(node.Config{
		Tied: true, Notify: notify, TemplateDir: templates,
		Limits: node.Limits{
			Spec:        spec.Policy{Images: []string{"/"}, Sockets: []string{"/"}}, // what this user may read
			BootTimeout: bootTime,
		},
	})
}

// openStandalone returns a client of such a node. It is served as a daemon serves
// its own, over a pipe. close ends it, and all its sandboxes.
func openStandalone() (c *client.Client, end func() error, err error) {
	n, err := newNode()
	if err != nil {
		return nil, nil, err
	}
	s := grpc.NewServer()
	server.Register(s, n)
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	go s.Serve(l) // until it is stopped
	conn, err := grpc.NewClient("passthrough:///node", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(l.dial))
	if err != nil {
		s.Stop()
		return nil, nil, errors.Join(err, n.Close())
	}
	c = client.New(conn)
	return c, func() error {
		err := errors.Join(c.Close(), n.Close())
		s.Stop()
		return err
	}, nil
}

// pipeListener listens for this process.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// notify shows what there is to wait for.
func notify(text string) { fmt.Fprintln(os.Stderr, "bulkhead:", text) }
