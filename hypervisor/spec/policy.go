package spec

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// Policy is what a node lets clients ask for. The zero value lets them name nothing on
// its file system.
type Policy struct {
	// Images are directories: images, kernels and root file systems are within
	// one of them, also after links are followed.
	Images []string
	// Sockets are directories in which sandboxes may have their vsock sockets.
	Sockets []string
	// PrepareTimeout is the most that a template's command may be given. 0: any time.
	PrepareTimeout time.Duration
}

// CheckPaths returns what is wrong with the files of the host that a specification
// names: links, and the policy, may be others than when it was checked first.
func CheckPaths(s *bulkheadv1.SandboxSpec, p Policy) []fault.Violation {
	c := &checker{policy: p}
	c.paths(s)
	return c.violations
}

func (c *checker) paths(s *bulkheadv1.SandboxSpec) {
	images := []struct{ field, path string }{
		{"spec.root_fs.path", s.GetRootFs().GetPath()},
		{"spec.kernel.image", s.GetKernel().GetImage()},
		{"spec.kernel.initrd", s.GetKernel().GetInitrd()},
	}
	for _, i := range images {
		if i.path != "" {
			c.path(i.field, i.path)
		}
	}
	for i, d := range s.GetDisks() {
		field := fmt.Sprintf("spec.disks[%d]", i)
		c.path(field+".path", d.GetPath())
		if d.GetOverlayPath() != "" {
			c.path(field+".overlay_path", d.GetOverlayPath())
		}
	}
	if path := s.GetVsockPath(); path != "" {
		c.socket("spec.vsock_path", path)
	}
}

// path checks that an image may be named. Whether it is there is found out when
// it is needed.
func (c *checker) path(field, p string) {
	if c.hostPath(field, p) && !within(p, c.policy.Images) {
		c.wrong(field, "%s is outside the directories that this node serves (%s): put it there, or add its directory to the node's images.directories",
			p, list(c.policy.Images))
	}
}

// socket checks that a socket may be made.
func (c *checker) socket(field, p string) {
	if c.hostPath(field, p) && !within(filepath.Dir(p), c.policy.Sockets) {
		c.wrong(field, "%s is outside the directories in which this node makes sockets (%s): add its directory to the node's vsock.directories",
			p, list(c.policy.Sockets))
	}
}

func (c *checker) hostPath(field, p string) bool {
	before := len(c.violations)
	if c.guestPath(field, p); goesUp(p) {
		c.wrong(field, "it has \"..\" in it: where that leads depends on links")
	}
	return len(c.violations) == before
}

// within reports whether path, with links followed as far as it exists, is in
// one of the directories.
func within(path string, dirs []string) bool {
	path = resolve(path)
	for _, dir := range dirs {
		rel, err := filepath.Rel(resolve(dir), path)
		if err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			return true
		}
	}
	return false
}

// maxLinks is how many links that lead to nothing are followed, as in Linux.
const maxLinks = 40

// resolve follows links as far as path exists, and beyond: what is made where a link
// leads to nothing is made there.
func resolve(path string) string {
	links := maxLinks
	return follow(filepath.Clean(path), &links)
}

func follow(path string, links *int) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	parent = follow(parent, links)
	path = filepath.Join(parent, filepath.Base(path))
	target, err := os.Readlink(path)
	if err != nil {
		return path
	}
	if *links--; *links < 0 {
		return "" // in no directory
	}
	if !filepath.IsAbs(target) {
		target = parent + "/" + target
	}
	dir, name := filepath.Split(target)
	if real, err := filepath.EvalSymlinks(dir); err == nil { // the kernel's way up from a link isn't the path's
		target = real + "/" + name
	}
	if goesUp(target) {
		return ""
	}
	return follow(filepath.Clean(target), links)
}

func goesUp(path string) bool { return slices.Contains(strings.Split(path, "/"), "..") }

func list(dirs []string) string {
	if len(dirs) == 0 {
		return "none"
	}
	return strings.Join(dirs, ", ")
}
