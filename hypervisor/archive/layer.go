package archive

import (
	"archive/tar"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxWindow bounds the memory that unpacking a layer takes. A window of encoders'
// own is 8 MiB at most.
const maxWindow = 16 << 20

// layer makes a file of its layer, which is taken out of layers.
func (r *reader) layer(layers map[string]ocispec.Descriptor, name string) (err error) {
	d, ok := layers[name]
	if !ok {
		return wrong("it has no %q", name)
	}
	delete(layers, name)
	f, err := r.open(d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close(f)) }()
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return err
	}
	defer z.Close()
	t := &members{tar: tar.NewReader(compressed{z})}
	h, err := t.next()
	if err != nil {
		return err
	}
	if h == nil || h.Typeflag != tar.TypeReg || h.Name != name {
		return wrong("the layer of %q doesn't have it", name)
	}
	if err := r.file(name, h.Size, t.tar); err != nil {
		return err
	}
	if h, err = t.next(); err == nil && h != nil {
		err = wrong("the layer of %q has %.200q, too", name, h.Name)
	}
	return err
}

// compressed is a compressed layer, whose mistakes are the archive's.
type compressed struct{ z *zstd.Decoder }

func (c compressed) Read(p []byte) (int, error) {
	n, err := c.z.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = &Error{"a layer can't be unpacked", err}
	}
	return n, err
}
