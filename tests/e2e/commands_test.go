package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// runDir is where a script's sandboxes keep their bundles.
const runDir = "run"

// exits CODE COMMAND... runs a command that must end with the exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", code, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// oneline checks that the last command's standard error is one line that
// contains each of the words.
func oneLine(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile("stderr")
	if strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "bulkhead: ") {
		ts.Fatalf("not one line of Bulkhead's: %q", text)
	}
	for _, word := range args {
		if !strings.Contains(text, word) {
			ts.Fatalf("%q doesn't say %q", text, word)
		}
	}
}

// clean checks that the script's sandboxes left no process, no bundle and no
// socket behind.
func clean(ts *testscript.TestScript, neg bool, args []string) {
	work := ts.Getenv("WORK")
	if left := leftovers(work); len(left) > 0 {
		ts.Fatalf("left behind: %s", strings.Join(left, ", "))
	}
}

// leftovers lists what sandboxes run below work have left.
func leftovers(work string) (left []string) {
	bundles, _ := filepath.Glob(filepath.Join(work, runDir, "*"))
	for _, b := range bundles {
		if filepath.Base(b) != ".bulkhead-lock" {
			left = append(left, b)
		}
	}
	for _, pid := range workersIn(work) {
		left = append(left, fmt.Sprintf("worker %d", pid))
	}
	return left
}

// workersIn lists the worker processes that were started below dir.
func workersIn(dir string) (pids []int) {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		exe, err := os.Readlink(filepath.Join(p, "exe"))
		if err != nil || filepath.Base(exe) != "bulkhead-vmm" {
			continue
		}
		cwd, err := os.Readlink(filepath.Join(p, "cwd"))
		if pid, e := strconv.Atoi(filepath.Base(p)); err == nil && e == nil && strings.HasPrefix(cwd+"/", dir+"/") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// json FIELD VALUE checks a field of the object on the last line of standard
// output; FIELD alone checks that it is there. A path leads into objects with
// dots.
func jsonField(ts *testscript.TestScript, neg bool, args []string) {
	lines := strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), "\n")
	var value any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &value); err != nil {
		ts.Fatalf("last line of stdout is no JSON: %v", err)
	}
	for _, name := range strings.Split(args[0], ".") {
		object, ok := value.(map[string]any)
		if !ok || object[name] == nil {
			ts.Fatalf("no field %s in %s", args[0], lines[len(lines)-1])
		}
		value = object[name]
	}
	if len(args) > 1 && fmt.Sprint(value) != args[1] {
		ts.Fatalf("%s is %v, want %s", args[0], value, args[1])
	}
}

// setTemplate has the script's $TEMPLATE be a guest that has come up.
func setTemplate(t *testing.T, ts *testscript.TestScript) {
	ts.Setenv("TEMPLATE", template(t))
	ts.Setenv("BULKHEAD_TEMPLATES", common.templates())
}

// sparse SIZE FILE makes a file of that many zero bytes without writing
// them.
func sparse(ts *testscript.TestScript, neg bool, args []string) {
	size, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	path := ts.MkAbs(args[1])
	f, err := os.Create(path)
	ts.Check(err)
	ts.Check(errors.Join(f.Truncate(size), f.Close()))
}
