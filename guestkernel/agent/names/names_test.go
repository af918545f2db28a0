package names

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckHostname(t *testing.T) {
	for name, ok := range map[string]bool{
		"": true, "a": true, "web-1.example": true, "A0": true, strings.Repeat("x", 64): true,
		strings.Repeat("x", 65): false, "-a": false, ".a": false, "a b": false, "a\n": false, "ä": false, "a/b": false,
	} {
		if err := CheckHostname(name); (err == nil) != ok {
			t.Errorf("CheckHostname(%q): %v", name, err)
		}
	}
}

func TestAddHost(t *testing.T) {
	const local = "127.0.0.1\tlocalhost\n"
	tests := []struct {
		name string
		old  string // "-": no file
		host string
		want string
	}{
		{"no file", "-", "box", "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\tbox\n"},
		{"no file and no name", "-", "", "127.0.0.1\tlocalhost\n::1\tlocalhost\n"},
		{"no line", local, "box", local + "127.0.1.1\tbox\n"},
		{"no newline", "1.2.3.4 x", "box", "1.2.3.4 x\n127.0.1.1\tbox\n"},
		{"known", local + "10.0.0.9 other box\n", "box", local + "10.0.0.9 other box\n"},
		{"in a comment", "1.2.3.4 x # box\n", "box", "1.2.3.4 x # box\n127.0.1.1\tbox\n"},
		{"no name", local, "", local},
		{"localhost", local, "localhost", local},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			etc := filepath.Join(t.TempDir(), "etc")
			path := filepath.Join(etc, "hosts")
			if tt.old != "-" {
				if err := os.Mkdir(etc, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(tt.old), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := AddHost(etc, tt.host); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != tt.want {
				t.Errorf("hosts is %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestNameservers(t *testing.T) {
	if err := CheckNameservers([]string{"10.0.0.1", "fd00::1"}); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "dns.example", "10.0.0.1\nsearch evil"} {
		if err := CheckNameservers([]string{bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	etc := filepath.Join(t.TempDir(), "etc")
	if err := SetNameservers(etc, nil); err != nil {
		t.Error(err)
	}
	if err := SetNameservers(etc, []string{"10.0.0.1", "fd00::1"}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(etc, "resolv.conf"))
	if err != nil || string(b) != "nameserver 10.0.0.1\nnameserver fd00::1\n" {
		t.Errorf("resolv.conf is %q, %v", b, err)
	}
}
