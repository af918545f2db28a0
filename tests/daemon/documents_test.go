package daemon

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Documents are held against what they are about.

func document(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile("../../" + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCommandsAreDocumented(t *testing.T) {
	h := newHost(t, "")
	out, err := exec.Command(h.cli, "--help").Output()
	h.must(err)
	_, list, _ := strings.Cut(string(out), "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	text := document(t, "cmd/bulkhead/README.md")
	for _, line := range strings.Split(list, "\n") {
		if name := strings.Fields(line)[0]; name != "help" && name != "node" && !strings.Contains(text, "`"+name+"`") {
			t.Errorf("cmd/bulkhead/README.md doesn't have %s", name)
		}
	}
}

func TestMetricsAreDocumented(t *testing.T) {
	h, c := loaded(t)
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", h.path("metrics.sock"))
	}}}
	defer client.CloseIdleConnections()
	r, err := client.Get("http://daemon/metrics")
	h.must(err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	h.must(err)
	text, found := document(t, "cmd/bulkheadd/observe.md"), regexp.MustCompile(`(?m)^# TYPE (bulkhead_\w+)`).FindAllStringSubmatch(string(b), -1)
	if len(found) < 10 {
		t.Errorf("only the metrics %q", found)
	}
	for _, m := range found {
		if !strings.Contains(text, "`"+m[1]+"`") {
			t.Errorf("cmd/bulkheadd/observe.md doesn't have %s", m[1])
		}
	}
	h.clear(c)
}

func TestReasonsAreDocumented(t *testing.T) {
	files, err := filepath.Glob("../../hypervisor/fault/*.go")
	if err != nil {
		t.Fatal(err)
	}
	text, found := document(t, "hypervisor/api/README.md"), 0
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || !strings.HasPrefix(v.Names[0].Name, "Reason") {
				return true
			}
			reason, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if found++; err != nil || !strings.Contains(text, "`"+reason+"`") {
				t.Errorf("hypervisor/api/README.md doesn't have %s, %v", reason, err)
			}
			return true
		})
	}
	if found < 10 {
		t.Errorf("only %d reasons", found)
	}
}
