package archive

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"
)

// maxIndex bounds the JSON that refers to blobs.
const maxIndex = 1 << 20

// isLayout reports whether an archive that begins with this member is an OCI one,
// whose members come in any order.
func isLayout(name string) bool {
	return name == ocispec.ImageLayoutFile || name == ocispec.ImageIndexFile || name == "" || strings.HasPrefix(name, ocispec.ImageBlobsDir+"/")
}

// reader is an OCI archive that is being read: blobs are kept as they are until
// it is known what they are.
type reader struct {
	*unpacker
	dir    string           // with blobs, by their digests' digits
	blobs  map[string]int64 // those that nothing has referred to yet, with their sizes
	layout []byte
	index  []byte
}

// readLayout reads an OCI archive, of which it has the first header.
func (u *unpacker) readLayout(t *members, h *tar.Header) (err error) {
	r := &reader{unpacker: u, dir: filepath.Join(u.target.Dir, blobsName), blobs: map[string]int64{}}
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		return fmt.Errorf("import a snapshot: %w", err)
	}
	for h != nil {
		if err := r.member(t, h); err != nil {
			return err
		}
		if h, err = t.next(); err != nil {
			return err
		}
	}
	u.target.Reached("blobs")
	if err := r.resolve(); err != nil {
		return err
	}
	for id := range r.blobs {
		return wrong("it has a blob that nothing refers to: sha256:%s", id)
	}
	return u.complete()
}

func (r *reader) member(t *members, h *tar.Header) (err error) {
	name := strings.TrimSuffix(h.Name, "/")
	if h.Typeflag == tar.TypeDir && (name == "" || name == "." || name == ocispec.ImageBlobsDir || name+"/" == blobDir) {
		return nil
	}
	if err := isRegular(h); err != nil {
		return err
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return wrong("%.200q has holes, which no blob has", h.Name)
		}
	}
	id, isBlob := strings.CutPrefix(h.Name, blobDir)
	switch {
	case h.Name == ocispec.ImageLayoutFile && r.layout == nil:
		r.layout, err = t.content(h, maxIndex)
	case h.Name == ocispec.ImageIndexFile && r.index == nil:
		r.index, err = t.content(h, maxIndex)
	case isBlob && isID(id):
		err = r.keep(id, h, t.tar)
	case h.Name == ocispec.ImageLayoutFile, h.Name == ocispec.ImageIndexFile:
		err = wrong("it has %s twice", h.Name)
	default:
		err = wrong("it has %.200q, which no OCI image layout has", h.Name)
	}
	return err
}

// isID reports whether a name is a digest's digits.
func isID(name string) bool {
	_, err := hex.DecodeString(name)
	return err == nil && len(name) == sha256.Size*2 && name == strings.ToLower(name)
}

// keep writes a blob down, if it is what its name says.
func (r *reader) keep(id string, h *tar.Header, from io.Reader) error {
	if _, again := r.blobs[id]; again {
		return wrong("it has blob sha256:%s twice", id)
	}
	f, err := os.OpenFile(filepath.Join(r.dir, id), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("import a snapshot: %w", err)
	}
	sum := sha256.New()
	err = r.fill(f, h.Size, io.TeeReader(from, sum), r.target.Room)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != id {
		return wrong("blob sha256:%s is another one, sha256:%s: export the snapshot again", id, got)
	}
	r.blobs[id] = h.Size
	r.target.Reached("blob")
	return nil
}

// open opens a blob for the one who refers to it.
func (r *reader) open(d ocispec.Descriptor) (*os.File, error) {
	id := d.Digest.String()
	if digits, ok := strings.CutPrefix(id, "sha256:"); ok {
		id = digits
	}
	size, ok := r.blobs[id]
	if !ok {
		return nil, wrong("it has no blob %.100q, or refers to it twice", d.Digest)
	}
	if size != d.Size {
		return nil, wrong("blob sha256:%s has %d bytes, not %d", id, size, d.Size)
	}
	delete(r.blobs, id)
	f, err := os.Open(filepath.Join(r.dir, id))
	if err != nil {
		return nil, fmt.Errorf("import a snapshot: %w", err)
	}
	return f, nil
}

// close removes a blob that was read.
func (r *reader) close(f *os.File) error { return errors.Join(f.Close(), os.Remove(f.Name())) }

// json reads a small blob.
func (r *reader) json(d ocispec.Descriptor, most int64) (b []byte, err error) {
	f, err := r.open(d)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close(f)) }()
	if d.Size > most {
		return nil, wrong("blob %s has %d bytes, it can have %d", d.Digest, d.Size, most)
	}
	return readAll(f, d.Digest.String())
}

func decode(b []byte, what string, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return &Error{what + " isn't what it should be", err}
	}
	return nil
}

// resolve finds out what the blobs are, and unpacks them.
func (r *reader) resolve() error {
	var mark ocispec.ImageLayout
	if err := decode(r.layout, ocispec.ImageLayoutFile, &mark); err != nil {
		return err
	}
	if mark.Version != ocispec.ImageLayoutVersion {
		return wrong("its image layout is of version %.20q, not %s", mark.Version, ocispec.ImageLayoutVersion)
	}
	var index ocispec.Index
	if err := decode(r.index, ocispec.ImageIndexFile, &index); err != nil {
		return err
	}
	if n := len(index.Manifests); n != 1 {
		return wrong("it has %d images: give an archive with one", n)
	}
	b, err := r.json(index.Manifests[0], maxIndex)
	if err != nil {
		return err
	}
	var m ocispec.Manifest
	if err := decode(b, "the image's manifest", &m); err != nil {
		return err
	}
	if m.Config.MediaType != manifestType {
		return wrong("it is of %.100q, and no snapshot", m.Config.MediaType)
	}
	return r.unpack(m)
}

// unpack makes the snapshot's files.
func (r *reader) unpack(m ocispec.Manifest) error {
	layers := map[string]ocispec.Descriptor{} // by the file's name
	for _, l := range m.Layers {
		title := l.Annotations[ocispec.AnnotationTitle]
		name := strings.TrimSuffix(title, fileSuffix)
		switch _, again := layers[name]; {
		case again:
			return wrong("it has %.200q twice", name)
		case l.MediaType == infoType && title == infoName, l.MediaType == fileType && title == name+fileSuffix:
			layers[name] = l
		default:
			return wrong("it has a layer %.200q of %.100q: use the version that made it, or a later one", title, l.MediaType)
		}
	}
	info, err := r.json(layers[infoName], maxInfo)
	if err == nil {
		r.info, err = decodeInfo(info)
	}
	if err != nil {
		return err
	}
	delete(layers, infoName)
	if err := r.layer(layers, snapshot.SumsName); err != nil {
		return err
	}
	for _, f := range r.listed {
		if f.Name == snapshot.ManifestName {
			err = r.manifest(m.Config)
		} else {
			err = r.layer(layers, f.Name)
		}
		if err != nil {
			return err
		}
	}
	for name := range layers {
		return wrong("it has %.200q, which the snapshot's %s doesn't list", name, snapshot.SumsName)
	}
	return nil
}

// manifest makes the snapshot's manifest.
func (r *reader) manifest(config ocispec.Descriptor) (err error) {
	f, err := r.open(config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close(f)) }()
	return r.file(snapshot.ManifestName, config.Size, f)
}
