package node_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// template makes one.
func (f *fixture) template(s *bulkheadv1.SandboxSpec, prepare ...string) *bulkheadv1.Template {
	f.t.Helper()
	r := &bulkheadv1.CreateTemplateRequest{Spec: s}
	if len(prepare) > 0 {
		r.Prepare = &bulkheadv1.Command{Args: prepare}
	}
	t, _, err := f.CreateTemplate(f.t.Context(), r, "tester")
	f.must(err)
	return t
}

func (f *fixture) templateDir(t *bulkheadv1.Template) string {
	return filepath.Join(f.config.StateDir, "templates", strings.TrimPrefix(t.GetId(), "sha256:"))
}

// restored reports which template a sandbox goes on from, by what its start did. Empty:
// it has booted.
func (f *fixture) restored(box *bulkheadv1.Sandbox) string {
	f.t.Helper()
	phases, id := "", box.GetStatus().GetOrigin().GetTemplate()
	for _, p := range box.GetStatus().GetPhases() {
		phases += p.GetName() + ","
	}
	if did := strings.Contains(phases, "machine restored,agent ready,identity renewed"); did != (id != "") {
		f.t.Errorf("%s: template %q, phases %s", box.GetName(), id, phases)
	}
	if strings.Contains(phases, "command started") != (box.GetSpec().GetCommand() != nil) {
		f.t.Errorf("%s: command %v, phases %s", box.GetName(), box.GetSpec().GetCommand(), phases)
	}
	return id
}

// noTemplates fails the test if there is anything of a template.
func (f *fixture) noTemplates() {
	f.t.Helper()
	left, err := filepath.Glob(filepath.Join(f.config.StateDir, "templates", "*"))
	f.must(err)
	hidden, err := filepath.Glob(filepath.Join(f.config.StateDir, "templates", ".*"))
	f.must(err)
	if all := append(left, hidden...); len(all) > 0 {
		f.t.Errorf("left: %q", all)
	}
}

func TestTemplate(t *testing.T) {
	f := open(t)
	plain := f.start("plain", nil, "sh", "-c", "echo said; sleep 1000")
	if id := f.restored(plain); id != "" {
		t.Errorf("from %s, of which there is none", id)
	}
	made := f.template(&bulkheadv1.SandboxSpec{Cpus: 1})
	if !strings.HasPrefix(made.GetId(), "sha256:") || made.GetSpec().GetMemoryBytes() != 128<<20 || made.GetSpec().GetTemplate() != "" || made.GetProblem() != "" ||
		made.GetVersion() != "fake" || made.GetHostProfile() != "fake" || made.GetKernelRelease() != "fake" || made.GetClient() != "tester" || made.GetStoredBytes() == 0 {
		t.Errorf("template %v", made)
	}
	if left := f.names(); left != "plain" {
		t.Errorf("left: %s", left)
	}
	box := f.start("box_1", nil, "sh", "-c", "echo said; read line; echo got $line; exit 5")
	if id := f.restored(box); id != made.GetId() {
		t.Errorf("from %q, not %s", id, made.GetId())
	}
	if o := box.GetStatus().GetOrigin(); o.GetSandbox() != "" || o.GetSnapshot() != "" || o.GetTime() != nil {
		t.Errorf("origin %v", o)
	}
	renewed, err := os.ReadFile(filepath.Join(f.config.RuntimeDir, "box_1", "guest", "renewed.json"))
	if err != nil || !strings.Contains(string(renewed), `"box-1"`) {
		t.Errorf("renewed as %s, %v", renewed, err)
	}
	f.untilLogged("box_1", "got")
	if e := f.until("box_1", stopped).GetStatus().GetExit(); e.GetExitCode() != 5 {
		t.Errorf("exit %v", e)
	}
	// Started again, and without a command.
	box, err = f.Start(t.Context(), "box_1")
	f.must(err)
	if id := f.restored(box); id != made.GetId() {
		t.Errorf("again: from %q, not %s", id, made.GetId())
	}
	f.restored(f.start("idle", nil))
	if out, _ := f.exec("idle", "echo", "hi"); out != "hi\n" {
		t.Errorf("exec: %q", out)
	}
	got, err := f.GetTemplate(made.GetId()[:len("sha256:")+12])
	f.must(err)
	if got.GetId() != made.GetId() {
		t.Errorf("%v", got)
	}
	id, err := f.DeleteTemplate(made.GetId()[len("sha256:"):])
	f.must(err)
	f.exec("idle", "true")
	if after := f.start("after", nil); id != made.GetId() || f.restored(after) != "" {
		t.Errorf("%s is deleted; a start after that is from %v", id, after.GetStatus().GetOrigin())
	}
	f.noTemplates()
}

// TestTemplateCommandFails: what can't be run isn't tried again by a boot.
func TestTemplateCommandFails(t *testing.T) {
	f := open(t)
	made := f.template(nil)
	f.create("box", nil, "no-such-command")
	_, err := f.Start(t.Context(), "box")
	f.kindIs(err, fault.Aborted, fault.ReasonStartFailed)
	box, err := f.Get("box")
	f.must(err)
	if s := box.GetStatus(); s.GetExit().GetExitCode() != 127 || s.GetOrigin().GetTemplate() != made.GetId() {
		t.Errorf("status %v", s)
	}
}

func TestListTemplates(t *testing.T) {
	f := open(t)
	for i := range 5 {
		_, _, err := f.CreateTemplate(t.Context(), &bulkheadv1.CreateTemplateRequest{
			Spec: &bulkheadv1.SandboxSpec{Cpus: uint32(i + 1)}, Labels: map[string]string{"n": fmt.Sprint(i)},
		}, "tester")
		f.must(err)
	}
	for want, r := range map[int]*bulkheadv1.ListTemplatesRequest{5: {PageSize: 2}, 4: {LabelSelector: "n!=2", PageSize: 3}} {
		seen := map[string]bool{}
		for {
			page, err := f.ListTemplates(r)
			f.must(err)
			for _, made := range page.GetTemplates() {
				seen[made.GetId()] = true
			}
			if r.PageToken = page.GetNextPageToken(); r.PageToken == "" {
				break
			}
		}
		if len(seen) != want {
			t.Errorf("%v: %v", r, seen)
		}
	}
	for _, r := range []*bulkheadv1.ListTemplatesRequest{{PageSize: 1001}, {PageToken: "x"}, {LabelSelector: "a b"}} {
		_, err := f.ListTemplates(r)
		f.kindIs(err, fault.Invalid, fault.ReasonInvalid)
	}
	for _, id := range []string{"", "sha256:", "0", "../../x", strings.Repeat("0", 64), strings.Repeat("0", 12)} {
		_, err := f.GetTemplate(id)
		f.kindIs(err, fault.NotFound, fault.ReasonNoTemplate)
		_, err = f.DeleteTemplate(id)
		f.kindIs(err, fault.NotFound, fault.ReasonNoTemplate)
	}
}

// TestTemplateIsAdopted has a node end while a sandbox goes on from a template: the next
// one doesn't take its guest for one that boots.
func TestTemplateIsAdopted(t *testing.T) {
	f := open(t)
	made := f.template(nil)
	for i := range 10 {
		name := fmt.Sprint("box", i)
		f.create(name, nil, "sh", "-c", "echo said; sleep 1000")
		go f.Start(context.Background(), name)
		time.Sleep(time.Duration(5*i) * time.Millisecond)
		f.restart(nil)
		box, err := f.Get(name)
		f.must(err)
		if box.GetStatus().GetState() == created {
			continue
		}
		box = f.until(name, running)
		if id := box.GetStatus().GetOrigin().GetTemplate(); id != made.GetId() {
			t.Errorf("%s is from %q", name, id)
		}
		renewed, err := os.ReadFile(filepath.Join(f.config.RuntimeDir, name, "guest", "renewed.json"))
		if err != nil || !strings.Contains(string(renewed), `"`+name+`"`) {
			t.Errorf("renewed as %s, %v", renewed, err)
		}
		f.untilLogged(name, "said")
	}
}
