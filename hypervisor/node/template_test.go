package node_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

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

// TestTemplateFits tells sandboxes that go on from a template from those that don't.
func TestTemplateFits(t *testing.T) {
	f := open(t)
	dir := filepath.Dir(f.config.GuestDir)
	disk, other := filepath.Join(dir, "disk"), filepath.Join(dir, "other")
	f.must(os.WriteFile(disk, make([]byte, 4096), 0o600))
	f.must(os.WriteFile(other, make([]byte, 4096), 0o600))
	readOnly := func(path string) []*bulkheadv1.Disk { return []*bulkheadv1.Disk{{Path: path, ReadOnly: true}} }
	made := f.template(&bulkheadv1.SandboxSpec{Cpus: 2, Disks: readOnly(disk), Transport: bulkheadv1.Transport_TRANSPORT_MMIO})
	for name, s := range map[string]*bulkheadv1.SandboxSpec{
		"same":       {Cpus: 2, Disks: readOnly(disk)},
		"own":        {Cpus: 2, Disks: []*bulkheadv1.Disk{{Path: disk, ReadOnly: true, Direct: true}}, Nameservers: []string{"9.9.9.9"}, Labels: map[string]string{"a": "b"}},
		"cpus":       {Disks: readOnly(disk)},
		"memory":     {Cpus: 2, Disks: readOnly(disk), MemoryBytes: 64 << 20},
		"no-disk":    {Cpus: 2},
		"other-disk": {Cpus: 2, Disks: readOnly(other)},
		"overlay":    {Cpus: 2, Disks: []*bulkheadv1.Disk{{Path: disk, Overlay: true}}},
		"written":    {Cpus: 2, Disks: []*bulkheadv1.Disk{{Path: other}}},
		"words":      {Cpus: 2, Disks: readOnly(disk), Kernel: &bulkheadv1.Kernel{Cmdline: "quiet"}},
		"kernel":     {Cpus: 2, Disks: readOnly(disk), Kernel: &bulkheadv1.Kernel{Image: disk}},
		"bus":        {Cpus: 2, Disks: readOnly(disk), Transport: bulkheadv1.Transport_TRANSPORT_PCI},
		"none":       {Cpus: 2, Disks: readOnly(disk), Template: spec.NoTemplate},
	} {
		id := f.restored(f.start(name, s))
		if want := name == "same" || name == "own"; (id != "") != want || want && id != made.GetId() {
			t.Errorf("%s: from %q", name, id)
		}
	}
	// What was written since isn't what its guest knows.
	later := time.Now().Add(time.Hour)
	f.must(os.Chtimes(disk, later, later))
	if id := f.restored(f.start("stale", &bulkheadv1.SandboxSpec{Cpus: 2, Disks: readOnly(disk)})); id != "" {
		t.Errorf("from %s, which is stale", id)
	}
	got, err := f.GetTemplate(made.GetId())
	f.must(err)
	if !strings.Contains(got.GetProblem(), disk+" has changed") {
		t.Errorf("problem %q", got.GetProblem())
	}
	again := f.template(&bulkheadv1.SandboxSpec{Cpus: 2, Disks: readOnly(disk)})
	f.must(os.Chtimes(other, later, later))
	f.must(os.Rename(other, disk)) // as large, and as old
	if id := f.restored(f.start("replaced", &bulkheadv1.SandboxSpec{Cpus: 2, Disks: readOnly(disk)})); id != "" {
		t.Errorf("from %s, of a file that has been replaced", id)
	}
	if again.GetId() == made.GetId() || again.GetProblem() != "" {
		t.Errorf("made again: %v", again)
	}
}

// TestTemplateNamed is of sandboxes that ask for one.
func TestTemplateNamed(t *testing.T) {
	f := open(t)
	warm := f.template(&bulkheadv1.SandboxSpec{Cpus: 2}, "true")
	if id := f.restored(f.start("unasked", &bulkheadv1.SandboxSpec{Cpus: 2})); id != "" {
		t.Errorf("it goes on from %s, in which a command was run", id)
	}
	short := warm.GetId()[len("sha256:"):][:12]
	r := &bulkheadv1.CreateSandboxRequest{Name: "box", Spec: &bulkheadv1.SandboxSpec{Template: short, Command: &bulkheadv1.Command{Args: []string{"sleep", "1000"}}}}
	first, err := f.Create(r, "tester")
	f.must(err)
	if s := first.GetSpec(); s.GetCpus() != 2 || s.GetMemoryBytes() != 128<<20 || s.GetTemplate() != warm.GetId() {
		t.Errorf("specification %v", s)
	}
	again, err := f.Create(r, "tester")
	f.must(err)
	if again.GetUid() != first.GetUid() {
		t.Errorf("%v and then %v", first, again)
	}
	box, err := f.Start(t.Context(), "box")
	f.must(err)
	if f.restored(box) != warm.GetId() {
		t.Errorf("origin %v", box.GetStatus().GetOrigin())
	}
	copies, err := f.Fork(t.Context(), &bulkheadv1.ForkSandboxRequest{Name: "box", Names: []string{"copy"}}, "tester")
	f.must(err)
	if o := copies[0].GetStatus().GetOrigin(); o.GetSandbox() != "box" || o.GetTemplate() != "" {
		t.Errorf("origin of a copy %v", o)
	}
	_, err = f.Stop(t.Context(), "copy", 0)
	f.must(err)
	box, err = f.Start(t.Context(), "copy")
	f.must(err)
	if o := box.GetStatus().GetOrigin(); f.restored(box) != warm.GetId() || o.GetSandbox() != "box" {
		t.Errorf("origin of a copy that was started again %v", o)
	}
	for field, s := range map[string]*bulkheadv1.SandboxSpec{
		"spec.cpus":     {Cpus: 1, Template: short},
		"spec.template": {Template: "golden"},
		"spec.networks": {Template: short, Networks: []*bulkheadv1.Network{{Host: &bulkheadv1.Network_Tap{Tap: "tap0"}}}},
	} {
		_, err := f.Create(&bulkheadv1.CreateSandboxRequest{Spec: s}, "tester")
		f.kindIs(err, fault.Invalid, fault.ReasonInvalid)
		if err == nil || !strings.HasPrefix(err.Error(), field+":") {
			t.Errorf("%s: %v", field, err)
		}
	}
	_, err = f.Create(&bulkheadv1.CreateSandboxRequest{Spec: &bulkheadv1.SandboxSpec{Template: "0123456789ab"}}, "tester")
	f.kindIs(err, fault.NotFound, fault.ReasonNoTemplate)
	_, err = f.DeleteTemplate(short)
	f.must(err)
	_, err = f.Stop(t.Context(), "box", 0)
	f.must(err)
	_, err = f.Start(t.Context(), "box")
	f.kindIs(err, fault.Aborted, fault.ReasonStartFailed)
	if err == nil || !strings.Contains(err.Error(), "there is no template") {
		t.Error(err)
	}
}

// TestTemplateDamaged has sandboxes boot that needn't go on from it, and the others say
// why they don't.
func TestTemplateDamaged(t *testing.T) {
	f := open(t)
	made := f.template(nil)
	f.create("named", &bulkheadv1.SandboxSpec{Template: made.GetId()})
	f.must(os.WriteFile(filepath.Join(f.templateDir(made), "memory"), []byte("other"), 0o600))
	if id := f.restored(f.start("box", nil, "sleep", "1000")); id != "" {
		t.Errorf("from %s, which is damaged", id)
	}
	f.exec("box", "true")
	_, err := f.Start(t.Context(), "named")
	f.kindIs(err, fault.Aborted, fault.ReasonStartFailed)
	if err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Error(err)
	}
	// One whose guest ends before it is anybody.
	f.must(os.WriteFile(filepath.Join(f.templateDir(made), "memory"), []byte("a fake machine's memory"), 0o600))
	f.must(os.WriteFile(filepath.Join(f.templateDir(made), "guest.json"), []byte("{"), 0o600))
	if id := f.restored(f.start("box1", nil, "sleep", "1000")); id != "" {
		t.Errorf("from %s, whose guest ends", id)
	}
	f.must(os.WriteFile(filepath.Join(f.templateDir(made), "manifest.json"), []byte("{"), 0o600))
	if id := f.restored(f.start("box2", nil)); id != "" {
		t.Errorf("from %s, which is damaged", id)
	}
	_, err = f.GetTemplate(made.GetId())
	f.kindIs(err, fault.Precondition, fault.ReasonTemplateDamaged)
	page, err := f.ListTemplates(&bulkheadv1.ListTemplatesRequest{})
	f.must(err)
	if len(page.GetTemplates()) != 1 || page.GetTemplates()[0].GetId() != made.GetId() || page.GetTemplates()[0].GetProblem() == "" {
		t.Errorf("%v", page)
	}
	_, err = f.DeleteTemplate(made.GetId())
	f.must(err)
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

func TestTemplatePrepared(t *testing.T) {
	f := open(t)
	ran := filepath.Join(f.config.StateDir, "ran")
	made := f.template(nil, "sh", "-c", "echo x >> "+ran+"; sleep 1000 >/dev/null 2>&1 &")
	if b, err := os.ReadFile(ran); err != nil || string(b) != "x\n" {
		t.Errorf("it was run %q, %v", b, err)
	}
	if made.GetPrepare().GetArgs()[0] != "sh" {
		t.Errorf("template %v", made)
	}
	for _, c := range []struct{ script, want string }{
		{"echo out; echo wrong >&2; exit 3", "ended with exit code 3: "},
		{"exit 4", "ended with exit code 4 and said nothing"},
		{"while :; do echo 0123456789; i=x$i; [ ${#i} -gt 500 ] && exit 1; done", "ended with exit code 1: ..."},
		{"kill -9 $$", "ended with exit code 137"},
	} {
		_, _, err := f.CreateTemplate(t.Context(), &bulkheadv1.CreateTemplateRequest{Prepare: &bulkheadv1.Command{Args: []string{"sh", "-c", c.script}}}, "tester")
		f.kindIs(err, fault.Aborted, fault.ReasonTemplateFailed)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.script, err)
		}
	}
	_, _, err := f.CreateTemplate(t.Context(), &bulkheadv1.CreateTemplateRequest{Prepare: &bulkheadv1.Command{Args: []string{"no-such-command"}}}, "tester")
	f.kindIs(err, fault.Aborted, fault.ReasonTemplateFailed)
	if left := f.names(); left != "" {
		t.Errorf("left: %s", left)
	}
	if n, err := f.CountTemplates(); n != 1 || err != nil {
		t.Errorf("%d templates, %v", n, err)
	}
}

func TestTemplateAgain(t *testing.T) {
	f := open(t)
	request := func() *bulkheadv1.CreateTemplateRequest {
		return &bulkheadv1.CreateTemplateRequest{Labels: map[string]string{"a": "b"}, RequestId: "r1"}
	}
	together := func(r *bulkheadv1.CreateTemplateRequest) []*bulkheadv1.Template {
		made, all := make([]*bulkheadv1.Template, 5), sync.WaitGroup{}
		for i := range made {
			all.Go(func() {
				var err error
				if made[i], _, err = f.CreateTemplate(context.Background(), r, "tester"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		return made
	}
	made := append(together(request()), together(&bulkheadv1.CreateTemplateRequest{Spec: &bulkheadv1.SandboxSpec{Cpus: 1}})...)
	for _, m := range together(&bulkheadv1.CreateTemplateRequest{Spec: &bulkheadv1.SandboxSpec{Cpus: 7}}) {
		if n, err := f.CountTemplates(); n != 2 || err != nil || m.GetId() == made[0].GetId() {
			t.Errorf("%d templates, %v", n, err)
		}
	}
	again, existed, err := f.CreateTemplate(t.Context(), request(), "tester")
	f.must(err)
	like, _, err := f.CreateTemplate(t.Context(), &bulkheadv1.CreateTemplateRequest{Spec: &bulkheadv1.SandboxSpec{Cpus: 1, Transport: bulkheadv1.Transport_TRANSPORT_MMIO}}, "other")
	f.must(err)
	for _, m := range append(made, like) {
		if m.GetId() != again.GetId() || !existed {
			t.Errorf("%v and then %v, which existed: %v", m, again, existed)
		}
	}
	r := request()
	r.Labels = nil
	_, _, err = f.CreateTemplate(t.Context(), r, "tester")
	f.kindIs(err, fault.Exists, fault.ReasonRequestIDUsed)
	f.restart(nil)
	again, _, err = f.CreateTemplate(t.Context(), request(), "tester")
	f.must(err)
	if again.GetId() != like.GetId() {
		t.Errorf("%v and then %v", like, again)
	}
}

func TestTemplateRefused(t *testing.T) {
	f := open(t, func(c *node.Config) { c.PerClient = 2 })
	disk := filepath.Join(filepath.Dir(f.config.GuestDir), "disk")
	f.must(os.WriteFile(disk, make([]byte, 4096), 0o600))
	for field, s := range map[string]*bulkheadv1.SandboxSpec{
		"spec.cpus":        {Cpus: 100},
		"spec.command":     {Command: &bulkheadv1.Command{Args: []string{"true"}}},
		"spec.labels":      {Labels: map[string]string{"a": "b"}},
		"spec.snapshot":    {Snapshot: "golden"},
		"spec.template":    {Template: "none"},
		"spec.nameservers": {Nameservers: []string{"9.9.9.9"}},
		"spec.auto_delete": {AutoDelete: true},
		"spec.disks[0]":    {Disks: []*bulkheadv1.Disk{{Path: disk, Overlay: true}}},
		"spec.networks[0]": {Networks: []*bulkheadv1.Network{{Host: &bulkheadv1.Network_Bridge{Bridge: "br0"}, Mtu: 1400}}},
	} {
		_, _, err := f.CreateTemplate(t.Context(), &bulkheadv1.CreateTemplateRequest{Spec: s}, "tester")
		f.kindIs(err, fault.Invalid, fault.ReasonInvalid)
		if err == nil || !strings.HasPrefix(err.Error(), field+":") {
			t.Errorf("%s: %v", field, err)
		}
	}
	_, _, err := f.CreateTemplate(t.Context(), &bulkheadv1.CreateTemplateRequest{Prepare: &bulkheadv1.Command{Args: []string{"true"}, Stdin: true}}, "tester")
	f.kindIs(err, fault.Invalid, fault.ReasonInvalid)
	device := disk + "-device" // of which nobody can tell when it was written to
	f.must(unix.Mkfifo(device, 0o600))
	odd := &bulkheadv1.SandboxSpec{Disks: []*bulkheadv1.Disk{{Path: device, ReadOnly: true}}}
	_, _, err = f.CreateTemplate(t.Context(), &bulkheadv1.CreateTemplateRequest{Spec: odd}, "tester")
	f.kindIs(err, fault.Precondition, fault.ReasonTemplateFailed)
	_, _, err = f.CreateTemplate(t.Context(), &bulkheadv1.CreateTemplateRequest{Spec: &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordPanic}}}, "tester")
	f.kindIs(err, fault.Aborted, fault.ReasonStartFailed)
	for _, word := range []string{workertest.WordFullSave} {
		_, _, err = f.CreateTemplate(t.Context(), &bulkheadv1.CreateTemplateRequest{Spec: &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: word}}}, "tester")
		f.kindIs(err, fault.Exhausted, fault.ReasonNoSpace)
	}
	f.noTemplates()
	f.template(&bulkheadv1.SandboxSpec{Cpus: 1})
	f.template(&bulkheadv1.SandboxSpec{Cpus: 2})
	_, _, err = f.CreateTemplate(t.Context(), &bulkheadv1.CreateTemplateRequest{Spec: &bulkheadv1.SandboxSpec{Cpus: 3}}, "tester")
	f.kindIs(err, fault.Exhausted, fault.ReasonTooManyTemplates)
	if again := f.template(&bulkheadv1.SandboxSpec{Cpus: 1}); again == nil {
		t.Error("what is there isn't found any more")
	}
	if left := f.names(); left != "" {
		t.Errorf("left: %s", left)
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

// TestNodeEndsWhileTemplating has the next node remove what there is of a template.
func TestNodeEndsWhileTemplating(t *testing.T) {
	f := open(t)
	for _, r := range []*bulkheadv1.CreateTemplateRequest{
		{Spec: &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordNoBoot}}},
		{Spec: &bulkheadv1.SandboxSpec{Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordHungSave}}},
		{Prepare: &bulkheadv1.Command{Args: []string{"sleep", "1000"}}},
	} {
		ended := make(chan error, 1)
		go func() {
			_, _, err := f.CreateTemplate(context.Background(), r, "tester")
			ended <- err
		}()
		for began := time.Now(); f.names() == ""; time.Sleep(5 * time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatal("no sandbox is made for it")
			}
		}
		time.Sleep(200 * time.Millisecond)
		f.must(f.Close())
		f.kindIs(<-ended, fault.Unavailable, fault.ReasonClosing)
		f.reopen()
		for _, s := range f.All() {
			f.untilGone(s.GetName())
		}
		f.noTemplates()
	}
	f.template(nil)
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

// TestTemplatesAreShared by nodes of which each has its own sandboxes.
func TestTemplatesAreShared(t *testing.T) {
	shared := t.TempDir()
	share := func(c *node.Config) { c.TemplateDir = shared }
	a, b := open(t, share), open(t, share)
	var all sync.WaitGroup
	for i, f := range []*fixture{a, b, a, b} {
		all.Go(func() {
			_, _, err := f.CreateTemplate(context.Background(), &bulkheadv1.CreateTemplateRequest{
				Spec: &bulkheadv1.SandboxSpec{Cpus: uint32(1 + i), Kernel: &bulkheadv1.Kernel{Cmdline: workertest.WordSlowSave}},
			}, "tester")
			if err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(500 * time.Millisecond)
	c := open(t, share) // which removes nothing that another one is at
	all.Wait()
	if n, err := c.CountTemplates(); n != 4 || err != nil {
		t.Errorf("%d templates, %v", n, err)
	}
}
