package image

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// tar packs the archive in f.
func (p *packer) tar(f io.ReadSeeker, format format) error {
	// An archive may hold a file several times; the last one counts.
	last := map[string]int{}
	err := eachHeader(f, format, func(i int, h *tar.Header, _ io.Reader) error {
		last[cleanName(h.Name)] = i
		return nil
	})
	if err != nil {
		return err
	}
	t := &tarPacker{packer: p, links: map[string]string{}}
	return eachHeader(f, format, func(i int, h *tar.Header, content io.Reader) error {
		if last[cleanName(h.Name)] != i {
			return nil
		}
		return t.member(h, content)
	})
}

func cleanName(name string) string { return path.Join("/", name) }

// eachHeader goes through the archive from its start.
func eachHeader(f io.ReadSeeker, format format, do func(i int, h *tar.Header, content io.Reader) error) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var in io.Reader = f
	if format == formatGzip {
		z, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
		if err != nil {
			return fmt.Errorf("not a gzip file: %w", err)
		}
		in = z
	}
	r := tar.NewReader(in)
	for i := 0; ; i++ {
		h, err := r.Next()
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, tar.ErrHeader):
			return fmt.Errorf("not a tar archive, or a damaged one: %w", err)
		case err != nil:
			return fmt.Errorf("tar archive is damaged or truncated: %w", err)
		}
		if err := do(i, h, r); err != nil {
			return err
		}
	}
}

// tarPacker packs the members of an archive.
type tarPacker struct {
	*packer
	links map[string]string // symbolic links packed so far
}

func (t *tarPacker) member(h *tar.Header, content io.Reader) error {
	name, err := t.resolve(cleanName(h.Name))
	if err != nil {
		return err
	}
	e := entry{
		name: name, mode: h.FileInfo().Mode(),
		uid: h.Uid, gid: h.Gid, mtime: h.ModTime, link: h.Linkname,
		rdev:    unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)),
		content: content,
		xattrs:  tarXattrs(h),
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		t.links[name] = h.Linkname
		return t.add(e)
	case tar.TypeReg, tar.TypeDir, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return t.add(e)
	case tar.TypeLink:
		return t.hardLink(e)
	}
	return nil // extensions that describe other members
}

// hardLink makes a copy: EROFS could share the content, its writer can't.
func (t *tarPacker) hardLink(e entry) error {
	target, err := t.resolve(cleanName(e.link))
	if err != nil {
		return err
	}
	if _, ok := t.links[target]; ok {
		return fmt.Errorf("%s: hard link to the symbolic link %s", e.name, target)
	}
	f, err := t.w.Open(target)
	if err != nil {
		return fmt.Errorf("%s: hard link to what the archive doesn't hold: %w", e.name, err)
	}
	defer f.Close()
	e.content = f
	return t.add(e)
}

// maxLinks bounds how many symbolic links a name may lead through.
const maxLinks = 40

// resolve follows symbolic links among the parents of name, as unpacking the
// archive would: bin/sh goes to usr/bin/sh where bin is a link to usr/bin.
func (t *tarPacker) resolve(name string) (string, error) {
	for range maxLinks {
		link, at := t.linkAbove(name)
		if at == "" {
			return name, nil
		}
		if !path.IsAbs(link) {
			link = path.Join(path.Dir(at), link)
		}
		name = path.Join("/", link, strings.TrimPrefix(name, at))
	}
	return "", fmt.Errorf("%s: too many symbolic links on the way", name)
}

// linkAbove returns the first symbolic link among the parents of name.
func (t *tarPacker) linkAbove(name string) (link, at string) {
	for i := 1; i < len(name); i++ {
		if name[i] != '/' {
			continue
		}
		if l, ok := t.links[name[:i]]; ok {
			return l, name[:i]
		}
	}
	return "", ""
}

// tarXattrs returns a member's extended attributes.
func tarXattrs(h *tar.Header) map[string]string {
	const prefix = "SCHILY.xattr."
	var all map[string]string
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, prefix); ok && portable(name) {
			if all == nil {
				all = map[string]string{}
			}
			all[name] = value
		}
	}
	return all
}
