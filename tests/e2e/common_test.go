package e2e

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// common is what the tests share, made when one needs it first.
var common fixtures

// fixtures are what is made once for all tests, in a directory that goes with them.
type fixtures struct {
	dir string

	rooting sync.Once
	rootErr error

	templating sync.Once
	template   string
	templErr   error
}

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if common.dir, err = os.MkdirTemp("", "e2e"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(common.dir)
	os.Exit(code)
}

// rootTools are busybox's, by the names that tests call them by.
const rootTools = "sh cat chmod dd echo grep head hostname id ifconfig kill ls mkdir nc pwd sha256sum sleep stty tftp touch true tty uname yes"

// rootPrograms are the tests' own.
var rootPrograms = []string{"avx", "peers", "stamper"}

// shellRoot is a root file system with busybox's shell and tools, and the tests'
// programs. What starts in it takes a tenth of the userland's time where guests'
// kernels are emulated.
func shellRoot(t *testing.T) string {
	t.Helper()
	root := filepath.Join(common.dir, "root")
	common.rooting.Do(func() { common.rootErr = makeRoot(root) })
	if common.rootErr != nil {
		t.Fatal(common.rootErr)
	}
	return root
}

func makeRoot(root string) error {
	for _, sub := range []string{"bin", "etc", "dev", "proc", "sys", "tmp", "run", "root"} {
		if err := os.MkdirAll(filepath.Join(root, sub), 0o755); err != nil {
			return err
		}
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return fmt.Errorf("%w (make setup installs busybox-static)", err)
	}
	errs := []error{
		os.WriteFile(filepath.Join(root, "bin/busybox"), busybox, 0o755),
		os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\n"), 0o644),
	}
	for _, tool := range strings.Fields(rootTools) {
		errs = append(errs, os.Symlink("busybox", filepath.Join(root, "bin", tool)))
	}
	build := exec.Command("go", "build", "-o", filepath.Join(root, "bin")+"/")
	for _, program := range rootPrograms {
		build.Args = append(build.Args, "./"+program)
	}
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		errs = append(errs, fmt.Errorf("%w\n%s", err, out))
	}
	return errors.Join(errs...)
}

// template is the ID of a template of a guest with shellRoot, for tests to which a guest
// that has come up is only where they begin.
func template(t *testing.T) string {
	t.Helper()
	requireKVM(t)
	root := shellRoot(t)
	common.templating.Do(func() { common.template, common.templErr = makeTemplate(root) })
	if common.templErr != nil {
		t.Fatal(common.templErr)
	}
	return common.template
}

// cache is where nodes have images of roots, and templates where they have templates.
// What is found by one node serves all others.
func (f *fixtures) cache() string     { return filepath.Join(f.dir, "cache") }
func (f *fixtures) templates() string { return filepath.Join(f.dir, "templates") }

func makeTemplate(root string) (id string, err error) {
	program, err := filepath.Abs(filepath.Join(bin, "bulkhead"))
	if err != nil {
		return "", err
	}
	cmd := exec.Command(program, "template", "create", "--rootfs", root)
	cmd.Env = append(os.Environ(), "BULKHEAD_RUNTIME_DIR="+filepath.Join(common.dir, runDir), "BULKHEAD_TEMPLATES="+common.templates(),
		"BULKHEAD_CACHE="+common.cache())
	cmd.Dir = common.dir // where its worker is found
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("a template for the tests: %w\n%s", err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}
