// Debroot makes a root file system out of Debian packages, as a tar archive:
// the named packages with all they depend on, unpacked side by side.
//
//	go run ./tests/debroot -o bin/python3.tar python3
//
// No maintainer scripts run, so it takes no root and works for packages that
// don't need theirs. The result is cached by what apt would install.
package main

import (
	"archive/tar"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/bulkhead-vm/bulkhead/guestkernel/cache"
)

func main() {
	out := flag.String("o", "", "the archive to make")
	flag.Parse()
	if err := run(*out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "debroot:", err)
		os.Exit(1)
	}
}

const archiveName = "root.tar"

func run(out string, packages []string) error {
	if out == "" || len(packages) == 0 {
		return errors.New("usage: debroot -o FILE PACKAGE [PACKAGE...]")
	}
	uris, err := resolve(packages)
	if err != nil {
		return err
	}
	dir, err := cache.DefaultDir()
	if err != nil {
		return err
	}
	c, err := cache.Open(dir, func(s string) { fmt.Fprintln(os.Stderr, "debroot:", s) })
	if err != nil {
		return err
	}
	var key cache.Key
	key.AddString("packages", strings.Join(uris, "\n"))
	key.AddString("layout", "1")
	entry, err := c.Get("debroot", &key, func(w cache.Work) error {
		fmt.Fprintf(os.Stderr, "debroot: fetching %s with %d packages in all\n", strings.Join(packages, ", "), len(uris))
		return build(w, packages)
	})
	if err != nil {
		return err
	}
	return link(filepath.Join(entry, archiveName), out)
}

// link makes out lead to the archive in the cache.
func link(archive, out string) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	if err := os.Remove(out); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(archive, out)
}

// apt runs apt-get as if nothing were installed, so that it resolves every
// dependency; archives go to dir.
func apt(dir string, args ...string) *exec.Cmd {
	status := filepath.Join(dir, "status")
	cmd := exec.Command("apt-get", append([]string{
		"-q", "-y", "--no-install-recommends",
		"-o", "Dir::State::status=" + status,
		"-o", "Dir::Cache::archives=" + dir,
		"-o", "Debug::NoLocking=true",
		"-o", "APT::Sandbox::User=",
	}, args...)...)
	cmd.Stderr = os.Stderr
	return cmd
}

// resolve lists the archives that installing the packages would take.
func resolve(packages []string) ([]string, error) {
	dir, err := aptDir("")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out, err := apt(dir, append([]string{"--print-uris", "install"}, packages...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("apt-get can't resolve %v (run apt-get update first): %w", packages, err)
	}
	var uris []string
	for _, line := range strings.Split(string(out), "\n") {
		if fields := strings.Fields(line); len(fields) >= 4 && strings.HasPrefix(line, "'") {
			uris = append(uris, fields[1]+" "+fields[3]) // file name and hash
		}
	}
	if len(uris) == 0 {
		return nil, fmt.Errorf("apt-get names no archives for %v: run apt-get update", packages)
	}
	sort.Strings(uris)
	return uris, nil
}

// aptDir makes a directory for apt below parent.
func aptDir(parent string) (string, error) {
	dir, err := os.MkdirTemp(parent, "debroot-")
	if err != nil {
		return "", err
	}
	return dir, errors.Join(
		os.WriteFile(filepath.Join(dir, "status"), nil, 0o644),
		os.Mkdir(filepath.Join(dir, "partial"), 0o755),
	)
}

func build(w cache.Work, packages []string) error {
	dir, err := aptDir(w.Scratch)
	if err != nil {
		return err
	}
	get := apt(dir, append([]string{"--download-only", "install"}, packages...)...)
	if err := get.Run(); err != nil {
		return fmt.Errorf("apt-get download: %w", err)
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(w.Out, archiveName))
	if err != nil {
		return err
	}
	return errors.Join(merge(f, debs), f.Close())
}

// merge writes one archive with the contents of all packages.
func merge(out io.Writer, debs []string) error {
	m := &merger{w: tar.NewWriter(out), seen: map[string]bool{}}
	if err := m.base(); err != nil {
		return err
	}
	sort.Strings(debs)
	for _, deb := range debs {
		if err := m.deb(deb); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(deb), err)
		}
	}
	return m.w.Close()
}

type merger struct {
	w    *tar.Writer
	seen map[string]bool
}

// base writes what no package holds: the merged-/usr links that installers
// make, and enough of /etc for look-ups of root.
func (m *merger) base() error {
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		h := tar.Header{Typeflag: tar.TypeSymlink, Name: dir, Linkname: "usr/" + dir, Mode: 0o777}
		if err := m.add(&h, nil); err != nil {
			return err
		}
	}
	for name, content := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		"etc/group":  "root:x:0:\nnogroup:x:65534:\n",
	} {
		h := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}
		if err := m.add(&h, strings.NewReader(content)); err != nil {
			return err
		}
	}
	return nil
}

func (m *merger) deb(file string) error {
	cmd := exec.Command("dpkg-deb", "--fsys-tarfile", file)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = m.members(tar.NewReader(pipe))
	io.Copy(io.Discard, pipe)
	return errors.Join(err, cmd.Wait())
}

func (m *merger) members(r *tar.Reader) error {
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := m.add(h, r); err != nil {
			return err
		}
	}
}

// add copies a member, unless another package had it: that is a directory, or
// one of the links of base.
func (m *merger) add(h *tar.Header, content io.Reader) error {
	h.Name = strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	if h.Name == "" || m.seen[h.Name] {
		return nil
	}
	m.seen[h.Name] = true
	if err := m.w.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	_, err := io.Copy(m.w, content)
	return err
}
