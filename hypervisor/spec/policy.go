package spec

import (
	"path/filepath"
	"strings"
)

// Policy is what a node lets clients name on its own file system. The zero value
// is nothing.
type Policy struct {
	// Images are directories: images, kernels and root file systems are within
	// one of them, also after links are followed.
	Images []string
	// Sockets are directories in which sandboxes may have their vsock sockets.
	Sockets []string
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
	c.guestPath(field, p)
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

// resolve follows links as far as path exists.
func resolve(path string) string {
	path = filepath.Clean(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	return filepath.Join(resolve(parent), filepath.Base(path))
}

func list(dirs []string) string {
	if len(dirs) == 0 {
		return "none"
	}
	return strings.Join(dirs, ", ")
}
