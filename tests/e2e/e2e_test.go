// Package e2e runs the programs as a user does, on real guests.
package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bulkhead-vm/bulkhead/boot/boottest"
)

// bin is where "make build guest python-root" puts everything.
const bin = "../../bin"

// TestScripts runs each script in testdata/script. They boot guests, two at a
// time.
func TestScripts(t *testing.T) {
	requireKVM(t)
	dir, err := filepath.Abs(bin)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bulkhead", "bulkheadd", "bulkhead-vmm", "guest/vmlinux", "guest/initramfs.cpio", "guest/userland.erofs", "python3.tar"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Fatalf("%v (run \"make build guest python-root\", or \"make test\", which does)", err)
		}
	}
	root, shared := shellRoot(t), newSharedGuest(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			if err := writeARM64(filepath.Join(env.WorkDir, "arm64")); err != nil {
				return err
			}
			env.Setenv("HOST_RELEASE", hostRelease())
			env.Setenv("LONG", strings.Repeat("x", 3000))
			env.Setenv("NODE", shared.host())
			env.Setenv("GUEST", filepath.Join(dir, "guest"))
			env.Setenv("PYTHON_ROOT", filepath.Join(dir, "python3.tar"))
			env.Setenv("BULKHEAD_RUNTIME_DIR", filepath.Join(env.WorkDir, runDir))
			env.Setenv("BULKHEAD_TEMPLATES", filepath.Join(env.WorkDir, "templates")) // not who tests'
			env.Setenv("BULKHEAD_CACHE", common.cache())
			env.Setenv("ROOT", root)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"clean":   clean,
			"oneline": oneLine,
			"json":    jsonField,
			"shared":  shared.await,
			"sparse":  sparse,

			"template": func(ts *testscript.TestScript, neg bool, args []string) { setTemplate(t, ts) },
		},
		RequireExplicitExec: true,
	})
}

// writeARM64 makes a file that begins as a kernel for another architecture
// does.
func writeARM64(path string) error {
	kernel := boottest.ELF{Code: make([]byte, 4096), Machine: 183}
	return os.WriteFile(path, kernel.Marshal(), 0o600)
}

func hostRelease() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return regexp.QuoteMeta(strings.TrimSpace(string(b)))
}

// requireKVM skips where there is no KVM at all. Where there is, tests run or
// fail.
func requireKVM(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/dev/kvm"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("NOT TESTED: this host has no /dev/kvm, so no guest ran")
	}
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		t.Fatalf("KVM is here but unusable: %v", err)
	} else {
		f.Close()
	}
	fmt.Fprintln(os.Stderr, "e2e: booting real guests; each takes seconds on hosts whose KVM emulates guest kernels")
}
