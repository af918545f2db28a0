package archive

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/bulkhead-vm/bulkhead/vmm/snapshot"
)

// Media types. A reader refuses others.
const (
	ArtifactType = "application/vnd.bulkhead.snapshot.v1"
	// manifestType is the configuration's: the snapshot's manifest.
	manifestType = "application/vnd.bulkhead.snapshot.manifest.v1+json"
	infoType     = "application/vnd.bulkhead.snapshot.info.v1+json"
	fileType     = "application/vnd.bulkhead.snapshot.file.v1.tar+zstd"
)

// fileSuffix is added to a file's name for the title of its layer, which tools call
// the layer by.
const fileSuffix = ".tar.zst"

// blobDir is where a layout has its blobs.
const blobDir = ocispec.ImageBlobsDir + "/sha256/"

// layout is an OCI archive that is being written.
type layout struct {
	*source
	tar     *tar.Writer
	scratch *os.File
	layers  []ocispec.Descriptor
}

func (s *source) writeOCI(ctx context.Context, w io.Writer) (err error) {
	l := &layout{source: s, tar: tar.NewWriter(w)}
	if l.scratch, err = s.Scratch(); err != nil {
		return err
	}
	defer l.scratch.Close() // nobody is to read it any more
	mark, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return err
	}
	if err := l.put(ocispec.ImageLayoutFile, mark); err != nil {
		return err
	}
	config, err := l.config()
	if err != nil {
		return err
	}
	info, err := l.blob(infoType, l.info)
	if err != nil {
		return err
	}
	info.Annotations = map[string]string{ocispec.AnnotationTitle: infoName}
	l.layers = append(l.layers, info)
	for _, f := range s.files {
		if name(f) == snapshot.ManifestName {
			continue
		}
		if err := l.layer(ctx, f); err != nil {
			return err
		}
	}
	return l.finish(config)
}

// config writes the image's configuration.
func (l *layout) config() (ocispec.Descriptor, error) {
	for _, f := range l.files {
		if name(f) == snapshot.ManifestName {
			b, err := io.ReadAll(io.LimitReader(f, snapshot.MaxSmall(snapshot.ManifestName)))
			if err != nil {
				return ocispec.Descriptor{}, err
			}
			return l.blob(manifestType, b)
		}
	}
	return ocispec.Descriptor{}, fmt.Errorf("the snapshot has no %s", snapshot.ManifestName)
}

// finish writes what refers to all that was written.
func (l *layout) finish(config ocispec.Descriptor) error {
	m, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: ArtifactType, Config: config, Layers: l.layers,
		Annotations: map[string]string{ocispec.AnnotationTitle: l.Info.Name, ocispec.AnnotationCreated: l.created.UTC().Format("2006-01-02T15:04:05Z07:00")},
	})
	if err != nil {
		return err
	}
	image, err := l.blob(ocispec.MediaTypeImageManifest, m)
	if err != nil {
		return err
	}
	image.ArtifactType = ArtifactType
	image.Annotations = map[string]string{ocispec.AnnotationRefName: l.Info.Name}
	index, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{image},
	})
	if err != nil {
		return err
	}
	if err := l.put(ocispec.ImageIndexFile, index); err != nil {
		return err
	}
	return l.tar.Close()
}

// put writes a small file.
func (l *layout) put(name string, b []byte) error {
	if err := l.header(name, int64(len(b))); err != nil {
		return err
	}
	_, err := l.tar.Write(b)
	return err
}

func (l *layout) header(name string, size int64) error {
	return l.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: l.created.Truncate(1e9)})
}

// blob writes a small blob.
func (l *layout) blob(mediaType string, b []byte) (ocispec.Descriptor, error) {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	return d, l.put(blobDir+d.Digest.Encoded(), b)
}

// layer writes the blob of a file.
func (l *layout) layer(ctx context.Context, f *os.File) error {
	if err := l.scratch.Truncate(0); err != nil {
		return err
	}
	if _, err := l.scratch.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sum := sha256.New()
	out := &measured{w: io.MultiWriter(l.scratch, sum), room: l.Room}
	if err := compress(ctx, out, f, l.source); err != nil {
		return err
	}
	id := digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(sum.Sum(nil)))
	l.layers = append(l.layers, ocispec.Descriptor{
		MediaType: fileType, Digest: id, Size: out.n,
		Annotations: map[string]string{ocispec.AnnotationTitle: name(f) + fileSuffix},
	})
	if err := l.header(blobDir+id.Encoded(), out.n); err != nil {
		return err
	}
	_, err := io.Copy(l.tar, io.NewSectionReader(l.scratch, 0, out.n))
	return err
}

// encoders is how many processors one archive may keep busy.
const encoders = 2

// compress writes a file's layer.
func compress(ctx context.Context, w io.Writer, f *os.File, s *source) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(encoders))
	if err != nil {
		return err
	}
	err = writeMember(ctx, z, name(f), f, s.created)
	if err == nil {
		_, err = z.Write(endOfArchive())
	}
	return errors.Join(err, z.Close())
}

// measured counts what is written, and looks for room for it.
type measured struct {
	w    io.Writer
	room func(int64) error // nil: there is
	n    int64
}

func (m *measured) Write(p []byte) (int, error) {
	if m.room != nil {
		if err := m.room(int64(len(p))); err != nil {
			return 0, err
		}
	}
	n, err := m.w.Write(p)
	m.n += int64(n)
	return n, err
}
