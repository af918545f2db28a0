package daemon

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/client"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// untilNothingOfTemplates waits until no template is half made, nor any sandbox of one.
func (h *host) untilNothingOfTemplates(c *client.Client) {
	h.t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		left, err := filepath.Glob(h.path("state/templates/.*"))
		h.must(err)
		page, err := c.ListSandboxes(h.t.Context(), &bulkheadv1.ListSandboxesRequest{PageSize: 1000})
		h.must(err)
		for _, s := range page.GetSandboxes() {
			if strings.HasPrefix(s.GetName(), "template-") {
				left = append(left, s.GetName())
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Since(began) > 20*time.Second {
			h.t.Fatalf("still there: %q", left)
		}
	}
}

// TestKilledWhileTemplating kills the daemon at any point while a template is made: the
// next one removes what there is of it, or has all of it, and the same request comes to
// one template in the end.
func TestKilledWhileTemplating(t *testing.T) {
	h := newHost(t, "")
	d := h.start()
	random := rand.New(rand.NewPCG(5, 6))
	made := map[string]string{} // the template by the request, as a client was told
	request := func(i int) *bulkheadv1.CreateTemplateRequest {
		return &bulkheadv1.CreateTemplateRequest{
			RequestId: fmt.Sprint("r", i), Labels: map[string]string{"n": fmt.Sprint(i)},
			Spec:    &bulkheadv1.SandboxSpec{Cpus: uint32(1 + i)}, // another machine each
			Prepare: &bulkheadv1.Command{Args: []string{"sleep", "0.05"}},
		}
	}
	const kills = 15
	for i := range kills {
		c := h.dial()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if r, err := c.Templates.CreateTemplate(ctx, request(i)); err == nil {
				made[fmt.Sprint("r", i)] = r.GetTemplate().GetId()
			}
		}()
		time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
		d.kill()
		cancel()
		<-ended
		d = h.start()
		h.untilNothingOfTemplates(h.dial())
	}
	c := h.dial()
	told := len(made)
	for i := range kills {
		id := fmt.Sprint("r", i)
		r, err := c.Templates.CreateTemplate(t.Context(), request(i))
		h.must(err)
		if before := made[id]; before != "" && before != r.GetTemplate().GetId() {
			t.Errorf("%s made %s, and then %s", id, before, r.GetTemplate().GetId())
		}
	}
	page, err := c.Templates.ListTemplates(t.Context(), &bulkheadv1.ListTemplatesRequest{})
	h.must(err)
	if len(page.GetTemplates()) != kills {
		t.Errorf("%d templates of %d requests", len(page.GetTemplates()), kills)
	}
	for _, made := range page.GetTemplates() {
		if made.GetProblem() != "" {
			t.Errorf("%s: %s", made.GetId(), made.GetProblem())
		}
		n := made.GetLabels()["n"]
		h.begin(c, "box"+n, &bulkheadv1.SandboxSpec{Template: made.GetId(), Command: ticking})
		h.goesOn("box" + n)
	}
	t.Logf("%d of %d requests were answered before the daemon was killed", told, kills)
	h.untilNothingOfTemplates(c)
	h.clear(c)
	d.stop()
}

// TestKilledWhileStartingFromTemplate kills it while sandboxes begin as a template: each
// comes to run, as itself and with its command.
func TestKilledWhileStartingFromTemplate(t *testing.T) {
	h := newHost(t, "")
	d := h.start()
	c := h.dial()
	made, _, err := c.Template(t.Context(), &bulkheadv1.CreateTemplateRequest{})
	h.must(err)
	random := rand.New(rand.NewPCG(7, 8))
	for i := range 10 {
		name := fmt.Sprint("box", i)
		_, err := c.CreateSandbox(t.Context(), &bulkheadv1.CreateSandboxRequest{Name: name, Spec: &bulkheadv1.SandboxSpec{Command: ticking}})
		h.must(err)
		go c.StartSandbox(t.Context(), &bulkheadv1.StartSandboxRequest{Name: name})
		time.Sleep(time.Duration(random.IntN(80)) * time.Millisecond)
		d.kill()
		d = h.start()
		c = h.dial()
		_, err = c.StartSandbox(t.Context(), &bulkheadv1.StartSandboxRequest{Name: name}) // as a client does that got no answer
		h.must(err)
		h.goesOn(name)
		r, err := c.GetSandbox(t.Context(), &bulkheadv1.GetSandboxRequest{Name: name})
		h.must(err)
		if o := r.GetSandbox().GetStatus().GetOrigin(); o.GetTemplate() != made.GetId() {
			t.Errorf("%s is from %v", name, o)
		}
		renewed, err := os.ReadFile(h.path("run/sandboxes/" + name + "/guest/renewed.json"))
		if err != nil || !strings.Contains(string(renewed), `"`+name+`"`) {
			t.Errorf("%s is renewed as %s, %v", name, renewed, err)
		}
	}
	h.clear(c)
	d.stop()
}

func TestFullDiskOfTemplates(t *testing.T) {
	h := newHost(t, "")
	disk := h.newSmallDisk("state", "size=4m")
	d := h.start()
	c := h.dial()
	_, err := c.Templates.CreateTemplate(t.Context(), &bulkheadv1.CreateTemplateRequest{Spec: &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordFullSave}}})
	mustBeNoSpace(t, "a template", err)
	disk.fill()
	_, err = c.Templates.CreateTemplate(t.Context(), &bulkheadv1.CreateTemplateRequest{})
	mustBeNoSpace(t, "a template", err)
	disk.free()
	h.untilNothingOfTemplates(c)
	_, err = c.Templates.CreateTemplate(t.Context(), &bulkheadv1.CreateTemplateRequest{})
	h.must(err)
	h.clear(c)
	d.stop()
}

// TestReadersOfTemplates have the read-only role.
func TestReadersOfTemplates(t *testing.T) {
	h := newHost(t, fmt.Sprintf("[listen]\nunix_mode = \"0666\"\n[access.read_only]\nusers = [\"%d\"]\n", reader))
	h.must(os.Chmod(h.cli, 0o755))
	h.must(os.Chmod(filepath.Dir(h.cli), 0o755))
	d := h.start()
	c := h.dial()
	made, _, err := c.Template(t.Context(), &bulkheadv1.CreateTemplateRequest{Prepare: &bulkheadv1.Command{Args: []string{"true"}, Env: []string{"TOKEN=s3cret"}}})
	h.must(err)
	for _, args := range [][]string{{"template", "ls", "-o", "json"}, {"template", "inspect", made.GetId()}} {
		out, err := h.as(reader, args...)
		if err != nil || !strings.Contains(out, "TOKEN=***") || strings.Contains(out, "s3cret") {
			t.Errorf("%q, %v: %s", args, err, out)
		}
	}
	for _, args := range [][]string{{"template", "create"}, {"template", "rm", made.GetId()}} {
		if out, err := h.as(reader, args...); err == nil || !strings.Contains(out, "read-only role") {
			t.Errorf("%q, %v: %s", args, err, out)
		}
	}
	d.mustLogOf("Templates/GetTemplate", `"template":"`+made.GetId()+`"`)
	h.clear(c)
	d.stop()
}
