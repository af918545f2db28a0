package daemon

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
)

const documented = "../../cmd/bulkheadd/bulkheadd.toml"

// TestDocumented holds the documented configuration and the code together: it has
// every key there is, no other, and the defaults.
func TestDocumented(t *testing.T) {
	c, err := Load(documented)
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range []*[]string{&c.Vsock.Directories, &c.Access.Full.Users, &c.Access.Full.Groups, &c.Access.Full.Certificates,
		&c.Access.ReadOnly.Users, &c.Access.ReadOnly.Groups, &c.Access.ReadOnly.Certificates} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	if !reflect.DeepEqual(c, Default()) {
		t.Errorf("the file says\n%+v\nthe defaults are\n%+v", c, Default())
	}
	b, err := os.ReadFile(documented)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := toml.Unmarshal(b, &tree); err != nil {
		t.Fatal(err)
	}
	hasKeys(t, "", tree, reflect.TypeFor[Config]())
}

func hasKeys(t *testing.T, path string, tree map[string]any, s reflect.Type) {
	t.Helper()
	for f := range s.Fields() {
		key := f.Tag.Get("toml")
		value, ok := tree[key]
		if !ok {
			t.Errorf("%s%s isn't documented", path, key)
			continue
		}
		if sub, ok := value.(map[string]any); ok {
			hasKeys(t, path+key+".", sub, f.Type)
		}
	}
}

func load(t *testing.T, text string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path)
}

func TestLoad(t *testing.T) {
	c, err := load(t, `
[limits]
message_bytes = "1MiB"
boot_timeout = "90s"
prepare_timeout = "5m"
starts_at_once = 3
pool_members = 7
[access.full]
users = ["root", "1000"]
`)
	if err != nil || c.Limits.MessageBytes != 1<<20 || c.nodeLimits().BootTimeout.Seconds() != 90 || c.nodeLimits().PoolMembers != 7 || c.Listen.Unix != Default().Listen.Unix {
		t.Errorf("%+v, %v", c, err)
	}
	if l := c.nodeLimits(); l.PrepareTimeout != 5*time.Minute || l.Spec.PrepareTimeout != time.Hour {
		t.Errorf("%v for a template's command, and %v at most", l.PrepareTimeout, l.Spec.PrepareTimeout)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("a file that was named and isn't there is no error")
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"no TOML":            {"[limits", "line 1"},
		"an unknown key":     {"[limits]\n\nsandboxes = 3", "line 3: there is no key limits.sandboxes"},
		"an unknown table":   {"[limit]", "there is no key limit"},
		"another type":       {"[limits]\nconnections = \"many\"", "line 2"},
		"a size":             {"[limits]\nmessage_bytes = \"4 apples\"", "not a size"},
		"a small size":       {"[limits]\nmessage_bytes = \"1KiB\"", "limits.message_bytes"},
		"a time":             {"[limits]\nboot_timeout = \"soon\"", "not a time"},
		"over the most":      {"[limits]\nmax_prepare_timeout = \"1m\"", "limits.prepare_timeout: 10m0s is more"},
		"fewer than none":    {"[limits]\nstarts_at_once = -1", "limits.starts_at_once"},
		"fewer members":      {"[limits]\npool_members = -1", "limits.pool_members"},
		"a negative number":  {"[limits]\nsandboxes_per_client = -1", "limits.sandboxes_per_client"},
		"no overcommit":      {"[capacity]\ncpu_overcommit = 0.0", "capacity.cpu_overcommit"},
		"a large share":      {"[limits]\nsnapshot_reserve = 1.0", "limits.snapshot_reserve"},
		"a negative share":   {"[limits]\nsnapshot_reserve = -0.1", "limits.snapshot_reserve"},
		"a number of apples": {"[limits]\nsnapshot_bytes = \"some\"", "not a size"},
		"a relative path":    {"[node]\nstate_dir = \"state\"", "node.state_dir"},
		"a relative image":   {"[images]\ndirectories = [\"images\"]", "images.directories"},
		"a mode":             {"[listen]\nunix_mode = \"rw\"", "listen.unix_mode"},
		"TCP without TLS":    {"[listen]\ntcp = \"127.0.0.1:1\"", "mutual TLS only"},
		"an address":         {"[listen]\ntcp = \"somewhere\"", "listen.tcp"},
		"a user":             {"[access.full]\nusers = [\"nobody-of-this-name\"]", "access.full"},
		"a group":            {"[access.read_only]\ngroups = [\"no group\"]", "access.read_only"},
		"metrics for all":    {"[metrics]\nlisten = \"0.0.0.0:9470\"", "metrics.listen"},
		"a relative socket":  {"[metrics]\nlisten = \"unix:metrics\"", "metrics.listen"},
		"a level":            {"[log]\nlevel = \"loud\"", "log.level"},
		"a format":           {"[log]\nformat = \"xml\"", "log.format"},
		"two things at once": {"[log]\nformat = \"xml\"\nlevel = \"loud\"", "log.level"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := load(t, tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want it to say %q", err, tt.want)
			}
		})
	}
}

// TestLoadRefusesInOrder has errors in the order of the file, always the same.
func TestLoadRefusesInOrder(t *testing.T) {
	const text = "[node]\nruntime_dir = \"r\"\nstate_dir = \"s\"\ncache_dir = \"c\"\ntemplate_dir = \"t\"\n[capacity]\ncpu_overcommit = 0.0\nmemory_overcommit = -1.0\n[limits]\nconnections = 0"
	var before string
	for range 20 {
		_, err := load(t, text)
		if err == nil {
			t.Fatal("no error")
		}
		_, text, _ := strings.Cut(err.Error(), ": ") // without the file's name
		if before != "" && text != before {
			t.Fatalf("now it is\n%s\nbefore it was\n%s", text, before)
		}
		before = text
	}
	if i, j := strings.Index(before, "node.runtime_dir"), strings.Index(before, "limits.connections"); i < 0 || j < i {
		t.Errorf("the order is not the file's:\n%s", before)
	}
}

func TestNeedRestart(t *testing.T) {
	a, b := Default(), Default()
	b.Capacity.CPUOvercommit, b.Log.Level, b.Limits.PoolMembers = 1, "debug", 7
	if tables := a.NeedRestart(b); tables != nil {
		t.Errorf("%v need a restart", tables)
	}
	b.Listen.TCP, b.Log.Format, b.Limits.Connections, b.Node.Name, b.Tracing.Insecure = "127.0.0.1:1", "json", 1, "other", true
	want := []string{"node", "listen", "limits.connections", "log.format", "tracing"}
	for range 20 { // the order is the file's
		if keys := a.NeedRestart(b); !reflect.DeepEqual(keys, want) {
			t.Fatalf("%v need a restart, want %v", keys, want)
		}
	}
}
