package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

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
