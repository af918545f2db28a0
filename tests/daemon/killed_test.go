package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

var kills = flag.Int("kills", 60, "how often TestKilled kills the daemon")

// promise is what a client was told of a sandbox, and may rely on.
type promise int

const (
	unknown promise = iota // a call was cut off: it may be there or not
	exists
	runs
	gone
)

// traffic is clients that make, use and delete sandboxes while their daemon is
// being killed.
type traffic struct {
	host *host
	mu   sync.Mutex // the rest
	told map[string]promise
	uids map[string]string // of those that run
	next int
	did  map[string]int // how often each thing was done, to its end
}

func (t *traffic) set(name string, p promise, uid string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.told[name] = p
	t.uids[name] = uid
}

func (t *traffic) count(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.did[what]++
}

// name returns a new one.
func (t *traffic) name() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next++
	return fmt.Sprintf("s%d", t.next)
}

// mine returns a sandbox that is there, and nobody else's until it is given back:
// what is promised of it depends on one call at a time.
func (t *traffic) mine() (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, p := range t.told {
		if p == runs || p == exists {
			t.told[name] = unknown // until it is given back
			return name, p == runs
		}
	}
	return "", false
}

// client does one thing after the other until a call fails.
func (t *traffic) client(ctx context.Context, seed uint64) {
	c, err := client.Dial("unix://"+t.host.socket(), client.TLS{})
	if err != nil {
		return
	}
	defer c.Close()
	random := rand.New(rand.NewPCG(seed, 0))
	for ctx.Err() == nil {
		var err error
		switch name, running := t.mine(); {
		case name == "" || random.IntN(3) == 0 && t.size() < 8:
			if name != "" {
				t.giveBack(name, running)
			}
			err = t.create(ctx, c)
		case !running:
			err = t.start(ctx, c, name)
		case random.IntN(4) == 0:
			err = t.delete(ctx, c, name)
		default:
			err = t.exec(ctx, c, name)
		}
		if err != nil {
			return
		}
	}
}

func (t *traffic) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, p := range t.told {
		if p != gone {
			n++
		}
	}
	return n
}

func (t *traffic) giveBack(name string, running bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.told[name] = exists
	if running {
		t.told[name] = runs
	}
}

func (t *traffic) create(ctx context.Context, c *client.Client) error {
	name := t.name()
	t.set(name, unknown, "")
	if _, err := c.CreateSandbox(ctx, &bulkheadv1.CreateSandboxRequest{Name: name, RequestId: name}); err != nil {
		return err
	}
	t.count("create")
	return t.start(ctx, c, name)
}

func (t *traffic) start(ctx context.Context, c *client.Client, name string) error {
	r, err := c.StartSandbox(ctx, &bulkheadv1.StartSandboxRequest{Name: name})
	if err != nil {
		t.set(name, exists, "") // whatever became of the start
		return err
	}
	t.set(name, runs, r.GetSandbox().GetUid())
	t.count("start")
	return nil
}

func (t *traffic) exec(ctx context.Context, c *client.Client, name string) error {
	defer t.giveBack(name, true)
	p, err := c.Exec(ctx, name, &bulkheadv1.Command{Args: []string{"echo", name}})
	if err != nil {
		return err
	}
	go io.Copy(io.Discard, p.Stderr)
	out, err := io.ReadAll(p.Stdout)
	if err != nil {
		return err
	}
	if _, err := p.Wait(); err != nil {
		return err
	}
	if string(out) != name+"\n" {
		return fmt.Errorf("exec in %s: %q", name, out)
	}
	t.count("exec")
	return nil
}

func (t *traffic) delete(ctx context.Context, c *client.Client, name string) error {
	if _, err := c.DeleteSandbox(ctx, &bulkheadv1.DeleteSandboxRequest{Name: name, Force: true}); err != nil {
		return err
	}
	t.set(name, gone, "")
	t.count("delete")
	return nil
}

// check compares what clients were told with what a daemon that came back knows.
func (t *traffic) check(c *client.Client) {
	t.host.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, p := range t.told {
		state, uid, err := settled(ctx, c, name)
		switch {
		case err != nil:
			t.host.t.Fatalf("%s: %v", name, err)
		case p == gone && state != nothing:
			t.host.t.Errorf("%s was deleted, and is %v", name, state)
		case p != gone && p != unknown && state == nothing:
			t.host.t.Errorf("%s is lost", name)
		case p == runs && (state != bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING || uid != t.uids[name]):
			t.host.t.Errorf("%s was running, and is %v", name, state)
		}
		switch state {
		case nothing:
			t.told[name] = gone
		case bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING:
			t.told[name], t.uids[name] = runs, uid
		default:
			t.told[name] = exists
		}
	}
}

const nothing = bulkheadv1.SandboxState_SANDBOX_STATE_UNSPECIFIED

// settled waits until a sandbox is in a state that lasts.
func settled(ctx context.Context, c *client.Client, name string) (bulkheadv1.SandboxState, string, error) {
	for {
		r, err := c.GetSandbox(ctx, &bulkheadv1.GetSandboxRequest{Name: name})
		if status.Code(err) == codes.NotFound {
			return nothing, "", nil
		}
		if err != nil {
			return nothing, "", err
		}
		switch s := r.GetSandbox(); s.GetStatus().GetState() {
		case bulkheadv1.SandboxState_SANDBOX_STATE_STARTING, bulkheadv1.SandboxState_SANDBOX_STATE_STOPPING, bulkheadv1.SandboxState_SANDBOX_STATE_DELETING:
		case bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING:
			_, err := c.Files.StatFile(ctx, &bulkheadv1.StatFileRequest{Sandbox: name, Path: "/"})
			if err == nil {
				return s.GetStatus().GetState(), s.GetUid(), nil
			}
			if code := status.Code(err); code != codes.Unavailable && code != codes.FailedPrecondition && code != codes.NotFound {
				return nothing, "", fmt.Errorf("it runs, and can't be used: %w", err)
			}
		default:
			return s.GetStatus().GetState(), s.GetUid(), nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nothing, "", errors.Join(ctx.Err(), fmt.Errorf("it stays %v", r.GetSandbox().GetStatus()))
		}
	}
}

// TestKilled kills the daemon again and again at any point of its clients' traffic.
// The next one has every sandbox that somebody was told of, as it was told, and in
// the end nothing is left of any.
func TestKilled(t *testing.T) {
	h := newHost(t, "")
	tr := &traffic{host: h, told: map[string]promise{}, uids: map[string]string{}, did: map[string]int{}}
	random := rand.New(rand.NewPCG(1, 2))
	var starting, checking time.Duration
	for i := range *kills {
		began := time.Now()
		d := h.start()
		t.Log("kill", i)
		starting += time.Since(began)
		began = time.Now()
		tr.check(h.dial())
		checking += time.Since(began)
		if t.Failed() {
			t.FailNow()
		}
		ctx, cancel := context.WithCancel(context.Background())
		var clients sync.WaitGroup
		for j := range 4 {
			clients.Go(func() { tr.client(ctx, uint64(i*10+j)) })
		}
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
		d.kill()
		cancel()
		clients.Wait()
	}
	d := h.start()
	c := h.dial()
	tr.check(c)
	h.clear(c)
	d.stop()
	t.Logf("%d kills; done to the end: %v; a daemon was ready after %v, and all sandboxes %v later", *kills, tr.did,
		starting/time.Duration(*kills), checking/time.Duration(*kills))
	if errors := scan(d.log.String(), `"level":"error"`); len(errors) > 0 {
		t.Errorf("the last daemon has errors:\n%s", strings.Join(errors, "\n"))
	}
	for _, what := range []string{"create", "start", "exec", "delete"} {
		if tr.did[what] == 0 {
			t.Errorf("nothing was there to be interrupted: %s", what)
		}
	}
}
