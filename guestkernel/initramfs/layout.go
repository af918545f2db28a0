package initramfs

import (
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/erofs/go-erofs"
)

// directories of the userland.
func directories() []node {
	var list []node
	for _, name := range []string{
		"/bbin", "/bin", "/dev", "/etc", "/home", "/mnt", "/proc", "/run", "/sys",
		"/usr", "/usr/local", "/usr/local/bin", "/var", "/var/log",
	} {
		list = append(list, node{name: name, mode: fs.ModeDir | 0o755})
	}
	return append(list,
		node{name: "/root", mode: fs.ModeDir | 0o700},
		node{name: "/tmp", mode: fs.ModeDir | fs.ModeSticky | 0o777},
		node{name: "/var/tmp", mode: fs.ModeDir | fs.ModeSticky | 0o777})
}

// configuration is the files of /etc.
func configuration() []node {
	var list []node
	for _, f := range [][2]string{
		{"/etc/group", "root:x:0:\ntty:x:5:\nusers:x:100:\nnogroup:x:65534:\n"},
		{"/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n"},
		{"/etc/os-release", "NAME=\"Bulkhead userland\"\nID=bulkhead\n"},
		{"/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"},
	} {
		list = append(list, node{name: f[0], mode: 0o644, content: f[1]})
	}
	return list
}

// links has each command in /bin, and /bin everywhere else.
func links(commands []string) []node {
	list := []node{
		{name: "/sbin", link: "bin"},
		{name: "/usr/bin", link: "../bin"},
		{name: "/usr/sbin", link: "../bin"},
	}
	for _, c := range commands {
		list = append(list, node{name: "/bin/" + c, link: "../bbin/bb"})
	}
	return list
}

// node is a file of the userland. It is a link if it has one.
type node struct {
	name    string
	mode    fs.FileMode
	link    string
	content string
}

// writeUserland writes an EROFS image with the commands, all of them program.
func writeUserland(out io.WriteSeeker, scratch string, commands []string, program io.Reader) error {
	w := erofs.Create(out, erofs.WithTempDir(scratch), erofs.WithBuildTime(0, 0))
	if err := addFile(w, node{name: "/", mode: fs.ModeDir | 0o755}, nil); err != nil {
		return err
	}
	for _, list := range [][]node{directories(), configuration(), links(commands)} {
		for _, n := range list {
			if err := addFile(w, n, nil); err != nil {
				return err
			}
		}
	}
	if err := addFile(w, node{name: "/bbin/bb", mode: 0o755}, program); err != nil {
		return err
	}
	return w.Close()
}

// addFile adds n, with content if that isn't nil.
func addFile(w *erofs.Writer, n node, content io.Reader) (err error) {
	switch {
	case n.link != "":
		err = w.Symlink(n.link, n.name)
	case n.name == "/": // is there
	case n.mode.IsDir():
		err = w.Mkdir(n.name, n.mode.Perm())
	default:
		err = addContent(w, n, content)
	}
	if err == nil && n.link == "" {
		err = w.Chmod(n.name, n.mode)
	}
	if err == nil {
		err = w.Chown(n.name, 0, 0)
	}
	if err == nil {
		err = w.Chtimes(n.name, time.Unix(0, 0), time.Unix(0, 0))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	return nil
}

func addContent(w *erofs.Writer, n node, content io.Reader) error {
	f, err := w.Create(n.name)
	if err != nil {
		return err
	}
	if content != nil {
		_, err = io.Copy(f, content)
	} else {
		_, err = io.WriteString(f, n.content)
	}
	if err != nil {
		return err
	}
	return f.Close()
}
