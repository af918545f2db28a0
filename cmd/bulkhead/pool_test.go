package main

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// pooling is a node that keeps what it is asked for. Its methods may be called from any
// goroutine.
type pooling struct {
	bulkheadv1.UnimplementedPoolsServer
	bulkheadv1.UnimplementedTemplatesServer
	bulkheadv1.UnimplementedSandboxesServer
	host string

	mu       sync.Mutex
	asked    []proto.Message
	claiming func() // before a claim is answered; nil: at once
}

// newPooling serves one.
func newPooling(t *testing.T) *pooling {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	p, s := &pooling{host: "unix://" + socket}, grpc.NewServer()
	bulkheadv1.RegisterPoolsServer(s, p)
	bulkheadv1.RegisterTemplatesServer(s, p)
	bulkheadv1.RegisterSandboxesServer(s, p)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return p
}

func (p *pooling) ask(m proto.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, proto.CloneOf(m))
}

// requests returns what it was asked for since the last time, without what is made up.
func (p *pooling) requests() (all []proto.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all, p.asked = p.asked, nil
	for _, m := range all {
		switch r := m.(type) {
		case *bulkheadv1.CreatePoolRequest:
			r.RequestId = ""
		case *bulkheadv1.CreateTemplateRequest:
			r.RequestId = ""
		case *bulkheadv1.ClaimSandboxRequest:
			r.RequestId = ""
		}
	}
	return all
}

// CreateTemplate implements bulkheadv1.TemplatesServer.
func (p *pooling) CreateTemplate(_ context.Context, r *bulkheadv1.CreateTemplateRequest) (*bulkheadv1.CreateTemplateResponse, error) {
	p.ask(r)
	return &bulkheadv1.CreateTemplateResponse{Template: &bulkheadv1.Template{Id: "sha256:0123456789abcdef"}}, nil
}

// CreatePool implements bulkheadv1.PoolsServer.
func (p *pooling) CreatePool(_ context.Context, r *bulkheadv1.CreatePoolRequest) (*bulkheadv1.CreatePoolResponse, error) {
	if r.GetTemplate() == "ffffffffffff" {
		s, err := status.New(codes.NotFound, `there is no template "ffffffffffff"`).WithDetails(&errdetails.ErrorInfo{Reason: fault.ReasonNoTemplate})
		return nil, errors.Join(s.Err(), err)
	}
	p.ask(r)
	return &bulkheadv1.CreatePoolResponse{Pool: &bulkheadv1.Pool{Name: r.GetName()}}, nil
}

// UpdatePool implements bulkheadv1.PoolsServer.
func (p *pooling) UpdatePool(_ context.Context, r *bulkheadv1.UpdatePoolRequest) (*bulkheadv1.UpdatePoolResponse, error) {
	p.ask(r)
	return &bulkheadv1.UpdatePoolResponse{Pool: &bulkheadv1.Pool{Name: r.GetName()}}, nil
}

// ListPools implements bulkheadv1.PoolsServer: a pool a page.
func (p *pooling) ListPools(_ context.Context, r *bulkheadv1.ListPoolsRequest) (*bulkheadv1.ListPoolsResponse, error) {
	if r.GetPageToken() == "" {
		full := &bulkheadv1.Pool{Name: "plain", Template: "sha256:0123456789abcdef", Size: 2, Status: &bulkheadv1.PoolStatus{Ready: 2}}
		return &bulkheadv1.ListPoolsResponse{Pools: []*bulkheadv1.Pool{full}, NextPageToken: "1"}, nil
	}
	poor := &bulkheadv1.Pool{Name: "python", Template: "sha256:fedcba9876543210", Size: 5, Status: &bulkheadv1.PoolStatus{Starting: 1, Problem: "no room"}}
	return &bulkheadv1.ListPoolsResponse{Pools: []*bulkheadv1.Pool{poor}}, nil
}

// ListSandboxes implements bulkheadv1.SandboxesServer: there are none.
func (p *pooling) ListSandboxes(context.Context, *bulkheadv1.ListSandboxesRequest) (*bulkheadv1.ListSandboxesResponse, error) {
	return &bulkheadv1.ListSandboxesResponse{}, nil
}

// ClaimSandbox implements bulkheadv1.PoolsServer.
func (p *pooling) ClaimSandbox(_ context.Context, r *bulkheadv1.ClaimSandboxRequest) (*bulkheadv1.ClaimSandboxResponse, error) {
	p.ask(r)
	if p.claiming != nil {
		p.claiming()
	}
	return &bulkheadv1.ClaimSandboxResponse{Sandbox: &bulkheadv1.Sandbox{Name: r.GetName() + "box"}}, nil
}

// DeleteSandbox implements bulkheadv1.SandboxesServer.
func (p *pooling) DeleteSandbox(_ context.Context, r *bulkheadv1.DeleteSandboxRequest) (*bulkheadv1.DeleteSandboxResponse, error) {
	p.ask(r)
	return &bulkheadv1.DeleteSandboxResponse{}, nil
}

// run runs the command line for the node.
func (p *pooling) run(args ...string) (out string, err error) {
	root, text := newRoot(), &strings.Builder{}
	root.SetArgs(append([]string{"--host", p.host}, args...))
	root.SetOut(text)
	err = root.Execute()
	return text.String(), err
}

// TestPoolRequests has commands ask for what their flags say, or say what is wrong.
func TestPoolRequests(t *testing.T) {
	p := newPooling(t)
	machine := &bulkheadv1.SandboxSpec{
		Cpus: 2, MemoryBytes: 128 << 20, RootFs: &bulkheadv1.RootFS{}, Kernel: &bulkheadv1.Kernel{}, Transport: bulkheadv1.Transport_TRANSPORT_MMIO,
	}
	for _, tt := range []struct {
		args string
		want []proto.Message
		says string // of the error
	}{
		{"scale python 7", []proto.Message{&bulkheadv1.UpdatePoolRequest{Name: "python", Size: proto.Uint32(7)}}, ""},
		{"scale python 0", []proto.Message{&bulkheadv1.UpdatePoolRequest{Name: "python", Size: proto.Uint32(0)}}, ""},
		{"scale python many", nil, `"many" is no number of guests`},
		{"scale python 4294967296", nil, "is no number of guests"},
		{"update python --template abc", []proto.Message{&bulkheadv1.UpdatePoolRequest{Name: "python", Template: "abc"}}, ""},
		{"update python --template abc --size 0", []proto.Message{&bulkheadv1.UpdatePoolRequest{Name: "python", Template: "abc", Size: proto.Uint32(0)}}, ""},
		{"update python", nil, "give --template or --size"},
		{"create python --size 3 --template abc -l a=b", []proto.Message{&bulkheadv1.CreatePoolRequest{Name: "python", Size: 3, Template: "abc", Labels: map[string]string{"a": "b"}}}, ""},
		{"create python --size 3 --cpus 2 -l a=b -- python3 -c pass", []proto.Message{
			&bulkheadv1.CreateTemplateRequest{Spec: machine, Prepare: &bulkheadv1.Command{Args: []string{"python3", "-c", "pass"}}},
			&bulkheadv1.CreatePoolRequest{Name: "python", Size: 3, Template: "sha256:0123456789abcdef", Labels: map[string]string{"a": "b"}},
		}, ""},
		{"create python", nil, "--size isn't given"},
		{"create --size 3", nil, "usage: bulkhead pool create POOL"},
		{"create python --size 3 python3", nil, "usage: bulkhead pool create POOL"},
		{"create python --size -3", nil, "invalid argument"},
		{"create python --size 3 --template abc --cpus 2", nil, "leave --cpus out"},
		{"create python --size 3 --template abc -- python3", nil, "leave the command out"},
		{"create python --size 3 --template ffffffffffff", nil, `no template "ffffffffffff" (those that were made without --daemon are not the node's)`},
		{"claim python", nil, "no command given"},
		{"claim", nil, "usage: bulkhead pool claim POOL"},
		{"claim python true", nil, "usage: bulkhead pool claim POOL"},
		{"claim python --restart on-failure -- true", nil, "give --detach"},
		{"claim python -d --timeout 1s -- true", nil, "give --ttl"},
		{"claim python --cpus 2 -- true", nil, "unknown flag: --cpus"},
		{"claim python --template abc -- true", nil, "unknown flag: --template"},
		{"claim python -d --name job --warm --rm -l a=b -u nobody -- sleep -l", []proto.Message{&bulkheadv1.ClaimSandboxRequest{
			Pool: "python", Name: "job", MustBeWarm: true,
			Spec: &bulkheadv1.SandboxSpec{AutoDelete: true, Labels: map[string]string{"a": "b"}, Command: &bulkheadv1.Command{Args: []string{"sleep", "-l"}, User: "nobody"}},
		}}, ""},
		{"claim python -d", []proto.Message{&bulkheadv1.ClaimSandboxRequest{Pool: "python", Spec: &bulkheadv1.SandboxSpec{}}}, ""},
	} {
		_, err := p.run(append([]string{"pool"}, strings.Fields(tt.args)...)...)
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v, want %q", tt.args, err, tt.says)
		}
		got := p.requests()
		same := len(got) == len(tt.want) || tt.says != ""
		for i := 0; same && i < len(tt.want); i++ {
			same = proto.Equal(got[i], tt.want[i])
		}
		if !same {
			t.Errorf("%s asks for\n%v, not\n%v", tt.args, got, tt.want)
		}
	}
}

func TestPoolLs(t *testing.T) {
	p := newPooling(t)
	out, err := p.run("pool", "ls")
	lines := strings.Split(out, "\n")
	if err != nil || len(lines) != 4 {
		t.Fatalf("%v:\n%s", err, out)
	}
	for i, want := range []string{
		"NAME TEMPLATE SIZE READY STARTING AGE PROBLEM",
		"plain 0123456789ab 2 2 0 - -",
		"python fedcba987654 5 0 1 - no room",
	} {
		if got := strings.Join(strings.Fields(lines[i]), " "); got != want {
			t.Errorf("line %d is %q, not %q", i, got, want)
		}
	}
	if out, err = p.run("pool", "ls", "-q"); err != nil || out != "plain\npython\n" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err = p.run("pool", "ls", "-o", "json"); err != nil || !strings.Contains(out, `"problem":"no room"`) {
		t.Errorf("%q, %v", out, err)
	}
}

// TestNoDaemonForPools: who has named no node hears that it takes one, once.
func TestNoDaemonForPools(t *testing.T) {
	gone := status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial unix /run/x.sock: connect: no such file or directory"`)
	const reached = "the node can't be reached: dial unix /run/x.sock: connect: no such file or directory: "
	for host, want := range map[string]string{
		"":              reached + "pools take a daemon: start bulkheadd on this host, or name a node with --host",
		"unix:///there": reached + "is bulkheadd running, and --host right?",
	} {
		o := &hostOptions{host: host}
		if err := o.ofPools(plain(o.ofPools(gone))); err.Error() != want {
			t.Errorf("%q: %v", host, err)
		}
	}
	o := &hostOptions{}
	if err := o.ofPools(status.Error(codes.NotFound, "there is no pool")); err.Error() != "there is no pool" {
		t.Error(err)
	}
	if o.ofPools(nil) != nil {
		t.Error("nothing is an error")
	}
}

// claimGivenUp claims a guest of a pool, and gives that up before the node has answered.
// It returns what another signal would come by, what has the node answer, and what is
// said in the end.
func claimGivenUp(t *testing.T, p *pooling) (signal chan syscall.Signal, answer func(), taken chan error) {
	t.Helper()
	asked, answered := make(chan struct{}), make(chan struct{})
	p.claiming = func() {
		close(asked)
		<-answered
	}
	c, err := client.Dial(p.host, client.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s := &session{
		options: &runOptions{hostOptions: &hostOptions{}}, result: &result{}, client: c, claim: &claim{pool: "python"},
		signals: &signals{forward: make(chan syscall.Signal, 1)},
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	taken = make(chan error, 1)
	go func() { taken <- s.take(ctx, &bulkheadv1.SandboxSpec{}) }()
	<-asked
	cancel(&exitError{exitSignal + sigTerm, errSignalled})
	return s.signals.forward, func() { close(answered) }, taken
}

// TestClaimGivenUp: a signal that comes before the sandbox does has it removed then.
func TestClaimGivenUp(t *testing.T) {
	p := newPooling(t)
	_, answer, taken := claimGivenUp(t, p)
	select {
	case err := <-taken:
		t.Errorf("it leaves what it claims: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	answer()
	if err := <-taken; !errors.Is(err, errSignalled) {
		t.Error(err)
	}
	got := p.requests()
	if len(got) != 2 || !proto.Equal(got[1], &bulkheadv1.DeleteSandboxRequest{Name: "box", Force: true}) {
		t.Errorf("asked for %v", got)
	}
}

// TestClaimGivenUpTwice: the second signal waits for nothing.
func TestClaimGivenUpTwice(t *testing.T) {
	signal, answer, taken := claimGivenUp(t, newPooling(t))
	defer answer()
	signal <- syscall.SIGINT
	select {
	case err := <-taken:
		if !errors.Is(err, errSignalled) {
			t.Error(err)
		}
	case <-time.After(killTime / 2):
		t.Error("it waits on")
	}
}
