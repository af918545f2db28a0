package daemon

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// claimOnce is a claim that can be repeated, of a command that writes down that it ran.
func (h *host) claimOnce(name string) *bulkheadv1.ClaimSandboxRequest {
	return &bulkheadv1.ClaimSandboxRequest{Pool: "python", Name: name, RequestId: name, Spec: &bulkheadv1.SandboxSpec{
		Command: &bulkheadv1.Command{Args: []string{"sh", "-c", "echo x >> " + h.path(name+".ran") + "; exec sleep 1000"}},
	}}
}

// ran waits until a sandbox's command has, and returns a letter for each time.
func (h *host) ran(name string) string {
	h.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(h.path(name + ".ran"))
		if len(b) > 0 {
			return strings.ReplaceAll(string(b), "\n", "")
		}
		if time.Since(began) > time.Minute {
			h.t.Fatalf("the command of %s hasn't run: %v", name, err)
		}
	}
}

// TestKilledWhileClaiming kills the daemon at any point while a pool is filled and
// claimed from: the next one has it full again, and each sandbox that was claimed runs,
// once; whoever claims again gets the same. Nothing is left of anything in the end.
func TestKilledWhileClaiming(t *testing.T) {
	h := newHost(t, "")
	d := h.start()
	c := h.dial()
	made, _, err := c.Template(t.Context(), &bulkheadv1.CreateTemplateRequest{})
	h.must(err)
	_, err = c.Pool(t.Context(), &bulkheadv1.CreatePoolRequest{Name: "python", Template: made.GetId(), Size: 3})
	h.must(err)
	random := rand.New(rand.NewPCG(11, 12))
	var (
		mu   sync.Mutex // the next one
		told = map[string]string{}
	)
	const kills, atOnce = 20, 3
	for i := range kills {
		c := h.dial()
		if i%3 > 0 { // or while it is being filled
			h.untilReady("python", 3)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var claims sync.WaitGroup
		for j := range atOnce {
			claims.Go(func() {
				r, err := c.Pools.ClaimSandbox(ctx, h.claimOnce(fmt.Sprintf("box%d-%d", i, j)))
				if err == nil {
					mu.Lock()
					told[r.GetSandbox().GetName()] = r.GetSandbox().GetUid()
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
		d.kill()
		cancel()
		claims.Wait()
		d = h.start()
	}
	c = h.dial()
	t.Logf("%d of %d claims were answered before the daemon was killed", len(told), kills*atOnce)
	hosts := map[string]bool{}
	for i := range kills {
		for j := range atOnce {
			name := fmt.Sprintf("box%d-%d", i, j)
			r, err := c.Pools.ClaimSandbox(t.Context(), h.claimOnce(name)) // as a client does that got no answer
			h.must(err)
			box := r.GetSandbox()
			if uid := told[name]; uid != "" && uid != box.GetUid() {
				t.Errorf("%s was %s, and is %v", name, uid, box)
			}
			if box.GetStatus().GetState() != bulkheadv1.SandboxState_SANDBOX_STATE_RUNNING {
				t.Errorf("%s is %v", name, box.GetStatus())
			}
			if ran := h.ran(name); ran != "x" {
				t.Errorf("%s has run %q", name, ran)
			}
		}
	}
	h.untilReady("python", 3)
	bundles, err := filepath.Glob(h.path("run/sandboxes/[^.]*"))
	h.must(err)
	for _, path := range bundles {
		renewed, err := os.ReadFile(filepath.Join(path, "guest", "renewed.json"))
		h.must(err)
		_, after, _ := strings.Cut(string(renewed), `"hostname":`)
		who, _, _ := strings.Cut(after, ",")
		if hosts[who] {
			t.Errorf("two guests are %s", who)
		}
		hosts[who] = true
	}
	if len(bundles) != kills*atOnce+3 {
		t.Errorf("%d bundles of %d sandboxes and 3 members", len(bundles), kills*atOnce)
	}
	if errors := scan(d.log.String(), `"level":"error"`); len(errors) > 0 {
		t.Errorf("the last daemon has errors:\n%s", strings.Join(errors, "\n"))
	}
	_, err = c.Pools.DeletePool(t.Context(), &bulkheadv1.DeletePoolRequest{Name: "python"})
	h.must(err)
	h.clear(c)
	d.stop()
}

// TestKilledWhileDeletingPool kills it while a pool is made smaller or deleted: members
// go all the same.
func TestKilledWhileDeletingPool(t *testing.T) {
	h := newHost(t, "")
	d := h.start()
	random := rand.New(rand.NewPCG(13, 14))
	for range 10 {
		c := h.dial()
		made, _, err := c.Template(t.Context(), &bulkheadv1.CreateTemplateRequest{})
		h.must(err)
		_, err = c.Pool(t.Context(), &bulkheadv1.CreatePoolRequest{Name: "python", Template: made.GetId(), Size: 4})
		h.must(err)
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.Pools.DeletePool(context.Background(), &bulkheadv1.DeletePoolRequest{Name: "python"})
		}()
		time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
		d.kill()
		<-ended
		d = h.start()
		c = h.dial()
		page, err := c.Pools.ListPools(t.Context(), &bulkheadv1.ListPoolsRequest{})
		h.must(err)
		if len(page.GetPools()) > 0 { // it was killed before it heard
			h.untilReady("python", 4)
			_, err := c.Pools.DeletePool(t.Context(), &bulkheadv1.DeletePoolRequest{Name: "python"})
			h.must(err)
		}
		h.mustBeClean()
	}
	d.stop()
}
