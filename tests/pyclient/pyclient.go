// Package pyclient runs a client of the node's API that shares no code with the
// node: a Python program, on what protoc makes of the .proto files alone.
package pyclient

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

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
	packages := run(t, exec.CommandContext(ctx, root+"/tests/tools/pypi", root+"/tests/pyclient/requirements.txt"))
	packages = strings.TrimSpace(packages)
	stubs := t.TempDir()
	protos, err := filepath.Glob(root + "/hypervisor/api/v1/*.proto")
	if err != nil || len(protos) == 0 {
		t.Fatalf("no .proto files: %v", err)
	}
	args := []string{"-m", "grpc_tools.protoc", "-I", root, "--python_out=" + stubs, "--grpc_python_out=" + stubs}
	run(t, python(ctx, packages, append(args, protos...)...))
	args = append([]string{root + "/tests/pyclient/client.py", target}, options...)
	t.Log(run(t, python(ctx, stubs+":"+packages, args...)))
}

// python is the interpreter with a path for modules. It leaves nothing in the
// checkout.
func python(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "python3", args...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+path, "PYTHONDONTWRITEBYTECODE=1")
	return cmd
}

// run returns what a command writes to its standard output, or, if that is
// nothing, to the other.
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
	if len(out) == 0 {
		return errs.String()
	}
	return string(out)
}
