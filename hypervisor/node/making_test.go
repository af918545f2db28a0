package node_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/nodetest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/workertest"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

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

// TestTemplatePreparedForever gives a command up, and its sandbox's share of the node
// back.
func TestTemplatePreparedForever(t *testing.T) {
	f := open(t, func(c *node.Config) {
		c.PrepareTimeout, c.Limits.Spec.PrepareTimeout = 2*time.Second, 3*time.Second
	})
	forever := &bulkheadv1.Command{Args: []string{"sh", "-c", "echo begun; sleep 1000"}}
	for _, r := range []struct {
		limit time.Duration
		want  string
	}{{0, "longer than 2s, which is its prepare_timeout: begun"}, {700 * time.Millisecond, "longer than 700ms"}} {
		ask := &bulkheadv1.CreateTemplateRequest{Prepare: forever}
		if r.limit > 0 {
			ask.PrepareTimeout = durationpb.New(r.limit)
		}
		_, _, err := f.CreateTemplate(t.Context(), ask, "tester")
		f.kindIs(err, fault.Aborted, fault.ReasonTemplateFailed)
		if err == nil || !strings.Contains(err.Error(), r.want) {
			t.Errorf("%v, want it to say %q", err, r.want)
		}
	}
	if left := f.names(); left != "" {
		t.Errorf("left: %s", left)
	}
	f.noTemplates()
	for _, r := range []*bulkheadv1.CreateTemplateRequest{
		{Prepare: forever, PrepareTimeout: durationpb.New(4 * time.Second)},
		{Prepare: forever, PrepareTimeout: durationpb.New(0)},
		{PrepareTimeout: durationpb.New(time.Second)},
	} {
		_, _, err := f.CreateTemplate(t.Context(), r, "tester")
		f.kindIs(err, fault.Invalid, fault.ReasonInvalid)
		if err == nil || !strings.HasPrefix(err.Error(), "prepare_timeout:") {
			t.Errorf("%v: %v", r.GetPrepareTimeout().AsDuration(), err)
		}
	}
}

// TestTemplateIsNobodysMeanwhile: a client can't have others' sandboxes begin as what it
// has done in the one that a template is made of.
func TestTemplateIsNobodysMeanwhile(t *testing.T) {
	f := open(t)
	begun, done := filepath.Join(f.config.StateDir, "begun"), make(chan error, 1)
	f.must(unix.Mkfifo(begun, 0o600))
	go func() {
		_, _, err := f.CreateTemplate(context.Background(), &bulkheadv1.CreateTemplateRequest{
			Prepare: &bulkheadv1.Command{Args: []string{"sh", "-c", "echo >" + begun + "; cat " + begun}},
		}, "tester")
		done <- err
	}()
	_, err := os.ReadFile(begun)
	f.must(err)
	name := f.names()
	_, _, err = f.Use(name)
	f.kindIs(err, fault.Precondition, fault.ReasonState)
	says(t, err, "a template is made of sandbox", name)
	f.must(os.WriteFile(begun, nil, 0))
	f.must(<-done)
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

// TestTemplatesOfOthers: what is found there is begun as without being asked for.
func TestTemplatesOfOthers(t *testing.T) {
	c := nodetest.Config(t)
	c.TemplateDir = t.TempDir()
	if err := os.Chmod(c.TemplateDir, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := node.Open(c)
	says(t, err, "template directory", "others can write", "chmod go-w")
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
