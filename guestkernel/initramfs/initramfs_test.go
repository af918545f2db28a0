package initramfs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestInitIsAligned(t *testing.T) {
	for _, size := range []int{1, 4096, 123457} {
		init := bytes.Repeat([]byte("agent!"), size)
		var first, second bytes.Buffer
		must(t, Write(&first, init))
		must(t, Write(&second, init))
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Error("the same input made different archives")
		}
		if at := bytes.Index(first.Bytes(), init); at < 0 || at%Alignment != 0 {
			t.Errorf("init of %d bytes begins at %d", len(init), at)
		}
	}
}

func TestAlignmentAnywhere(t *testing.T) {
	for gap := range 300 {
		var b bytes.Buffer
		a := &archive{w: &b}
		a.add(entry{name: "gap", mode: modeFile, data: make([]byte, 16*gap)})
		at := -1
		a.add(entry{name: "f", mode: modeFile, data: []byte("content"), aligned: true})
		err := a.close()
		if at = bytes.Index(b.Bytes(), []byte("content")); err == nil && at%Alignment != 0 {
			t.Errorf("after %d bytes the file begins at %d", 16*gap, at)
		}
	}
}

// TestOthersReadIt unpacks with GNU cpio.
func TestOthersReadIt(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Skip(err)
	}
	if os.Getuid() != 0 {
		t.Skip("device nodes need root")
	}
	var b bytes.Buffer
	must(t, Write(&b, []byte("the agent")))
	dir := t.TempDir()
	cmd := exec.Command("cpio", "-idm", "--quiet")
	cmd.Dir, cmd.Stdin = dir, &b
	const noise = "cpio: filler: unknown file type\n" // and goes on
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != noise {
		t.Fatalf("cpio: %v\n%s", err, out)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "init")); err != nil || string(got) != "the agent" {
		t.Errorf("/init is %q, %v", got, err)
	}
	for name, mode := range map[string]os.FileMode{
		"init": 0o755, "dev": os.ModeDir | 0o755, "proc": os.ModeDir | 0o755,
		"dev/console": os.ModeDevice | os.ModeCharDevice | 0o600, "dev/null": os.ModeDevice | os.ModeCharDevice | 0o666,
	} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, want mode %v", name, err, mode)
		}
	}
}

func TestUserland(t *testing.T) {
	path := filepath.Join(t.TempDir(), "userland.erofs")
	build := func() []byte {
		must(t, writeFile(path, func(f *os.File) error {
			return writeUserland(f, t.TempDir(), []string{"cat", "sh", "ls"}, strings.NewReader("busybox"))
		}))
		b, err := os.ReadFile(path)
		must(t, err)
		return b
	}
	if !bytes.Equal(build(), build()) {
		t.Error("the same input made different images")
	}
	if out, err := exec.Command("fsck.erofs", path).CombinedOutput(); err != nil && !os.IsNotExist(err) && !strings.Contains(err.Error(), "not found") {
		t.Errorf("fsck.erofs: %v\n%s", err, out)
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "erofs", "-o", "ro,loop", path, dir).CombinedOutput(); err != nil {
		t.Skipf("no EROFS here: %v\n%s", err, out)
	}
	defer exec.Command("umount", dir).Run()
	for name, want := range map[string]string{
		"/bin/ls": "busybox", "/sbin/cat": "busybox", "/usr/bin/sh": "busybox", "/bbin/bb": "busybox",
		"/etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
	} {
		if b, err := os.ReadFile(dir + name); err != nil || string(b) != want {
			t.Errorf("%s is %q, %v; want %q", name, b, err, want)
		}
	}
	for name, mode := range map[string]os.FileMode{
		"/": os.ModeDir | 0o755, "/tmp": os.ModeDir | os.ModeSticky | 0o777, "/root": os.ModeDir | 0o700, "/bbin/bb": 0o755, "/etc/passwd": 0o644,
	} {
		if info, err := os.Stat(dir + name); err != nil || info.Mode() != mode || info.ModTime().Unix() != 0 {
			t.Errorf("%s: %v, %v; want mode %v and no time", name, info, err, mode)
		}
	}
}

// TestKeys builds nothing, but has the go command list everything.
func TestKeys(t *testing.T) {
	b, err := Find(t.Context())
	must(t, err)
	k, err := b.Key(t.Context())
	must(t, err)
	for _, want := range []string{"cmd/bulkhead-agent/main.go", "guestkernel/agent/power/port_amd64.s", "module github.com/containerd/ttrpc", `"go"`} {
		if !strings.Contains(k.String(), want) {
			t.Errorf("the key of the initramfs lacks %s:\n%s", want, k)
		}
	}
	if strings.Contains(k.String(), "_test.go") {
		t.Error("tests are part of the key")
	}
	u, err := b.UserlandKey(t.Context())
	must(t, err)
	if !strings.Contains(u.String(), "userland/go.mod") || !strings.Contains(u.String(), "initramfs/layout.go") {
		t.Errorf("the key of the userland:\n%s", u)
	}
	packages, err := b.commandPackages(t.Context())
	must(t, err)
	if len(packages) < 50 || !strings.Contains(strings.Join(packages, " "), "userland/sh") {
		t.Errorf("the userland's commands are %q", packages)
	}
}
