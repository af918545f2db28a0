package access

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

const envConnect = "BULKHEAD_TEST_CONNECT"

func TestMain(m *testing.M) {
	if path := os.Getenv(envConnect); path != "" {
		conn, err := net.Dial("unix", path)
		if err == nil {
			_, err = io.Copy(io.Discard, conn) // until the test has seen it
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// connectAs returns who the kernel says connects: a process of a user with groups.
func connectAs(t *testing.T, l net.Listener, rules *Rules, c syscall.Credential) Client {
	t.Helper()
	cmd := exec.Command("/proc/self/fd/3")
	self, err := os.Open("/proc/self/exe") // which others may have no way to
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	cmd.ExtraFiles = []*os.File{self}
	cmd.Env = append(os.Environ(), envConnect+"="+l.Addr().String())
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &c}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_, info, err := NewPeerCredentials(rules).ServerHandshake(conn)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	return info.(connection).client()
}

// TestGroups connects with groups that no file on this host has: they are what the
// process has, as a directory service may give it.
func TestGroups(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: being other users takes root")
	}
	dir, err := os.MkdirTemp("", "access") // others have no way into t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, path := range []string{dir, l.Addr().String()} {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	rules, err := NewRules(Policy{Full: Grants{Groups: []string{"70000"}}, ReadOnly: Grants{Groups: []string{"70001"}}})
	if err != nil {
		t.Fatal(err)
	}
	many := make([]uint32, 1000)
	for i := range many {
		many[i] = uint32(80000 + i)
	}
	const user = 65531
	for name, tt := range map[string]struct {
		gid    uint32
		groups []uint32
		want   Role
	}{
		"none":          {user, nil, None},
		"others":        {user, many, None},
		"its first":     {70000, nil, Full},
		"another":       {user, []uint32{5, 70001}, ReadOnly},
		"one of many":   {user, append(many, 70000), Full},
		"one of 64":     {user, append(many[:63:63], 70000), Full},
		"two with role": {70001, []uint32{70000}, Full},
	} {
		t.Run(name, func(t *testing.T) {
			c := connectAs(t, l, rules, syscall.Credential{Uid: user, Gid: tt.gid, Groups: tt.groups})
			if c.Role != tt.want || c.Name != "uid:65531" {
				t.Errorf("%+v, want role %v", c, tt.want)
			}
		})
	}
}
