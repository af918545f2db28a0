// Package pyclient runs a client of the node's API that shares no code with the
// node: a Python program, on what protoc makes of the .proto files alone.
package pyclient

import (
	"context"
	"embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program is part of the test binary, so that "go test" sees when it changes.
//
//go:embed *.py requirements.txt
var program embed.FS

// root is the repository's, as tests in tests/... see it.
const root = "../.."

// timeout is for all of the client's cases.
const timeout = 10 * time.Minute

// Run has the client use a node, such as "unix:///run/api.sock", and fails t if it
// isn't content. options are client.py's. The first call installs packages from
// the Python package index into the cache outside the checkout.
func Run(t testing.TB, target string, options ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, program); err != nil {
		t.Fatal(err)
	}
	packages := run(t, exec.CommandContext(ctx, root+"/tests/tools/pypi", dir+"/requirements.txt"))
	python := func(args ...string) string {
		cmd := exec.CommandContext(ctx, "python3", append([]string{"-u"}, args...)...) // a killed one has said what it did
		cmd.Env = append(os.Environ(), "PYTHONPATH="+strings.TrimSpace(packages))
		return run(t, cmd)
	}
	protos, err := filepath.Glob(root + "/hypervisor/api/v1/*.proto")
	if err != nil || len(protos) == 0 {
		t.Fatalf("no .proto files: %v", err)
	}
	python(append([]string{"-m", "grpc_tools.protoc", "-I", root, "--python_out=" + dir, "--grpc_python_out=" + dir}, protos...)...)
	t.Log(python(append([]string{dir + "/client.py", target}, options...)...))
}

// run returns what a command writes to its standard output.
func run(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	var errs strings.Builder
	cmd.Stderr = &errs
	began := time.Now()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args[:2], " "), err, out, errs.String())
	}
	t.Logf("%s: %.1f s", strings.Join(cmd.Args[:min(3, len(cmd.Args))], " "), time.Since(began).Seconds())
	return string(out)
}
