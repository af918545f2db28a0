package e2e

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/bulkhead-vm/bulkhead/vmm/hostprofile"
	"github.com/bulkhead-vm/bulkhead/vmm/kvm"
	"github.com/bulkhead-vm/bulkhead/vmm/machine"
)

// bootHere starts a guest of c in this process, for what no API offers.
func bootHere(t *testing.T, c machine.Config) *machine.Machine {
	t.Helper()
	files := map[string]*os.File{}
	for _, name := range []string{"vmlinux", "initramfs.cpio"} {
		f, err := os.Open(filepath.Join(bin, "guest", name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[name] = f
	}
	info, err := files["initramfs.cpio"].Stat()
	if err != nil {
		t.Fatal(err)
	}
	sys, err := kvm.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	c.Kernel, c.Initrd = files["vmlinux"], io.NewSectionReader(files["initramfs.cpio"], 0, info.Size())
	c.Profile = hostprofile.Detect()
	m, err := machine.New(sys, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	m.Start()
	return m
}
