package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Why a snapshot has one layer only.
const (
	wholeFirst  = "the machine was not saved before, or its memory is not mapped"
	wholeWanted = "it was asked for"
	wholeGone   = "the files of what the machine goes on from were deleted"
	wholeOther  = "what the machine goes on from is in another file system"
	wholePieces = "there would be too many pieces"
)

// Prepare does what can be done while the guest runs. base is what its RAM is mapped
// from, so that pages that aren't RAM's own are base's; nil: nothing, or nobody knows.
// The snapshot shares base's files where it can: Memory then writes a layer over them.
// Otherwise, and if it is to be whole, Prepare copies what base has. It is in use
// until Publish.
//
// Layers that would be too many, or that are of snapshots that were deleted, are made
// into one here, all but the lowest: that takes as long as they are large, and leaves
// the pause short.
func (w *Writer) Prepare(ctx context.Context, base *Snapshot, whole bool) error {
	switch {
	case base == nil:
		w.whole = wholeFirst
		return nil
	case whole:
		w.whole = wholeWanted
	default:
		err := w.share(ctx, base)
		if err == nil {
			w.parent = &Parent{UID: base.Manifest.UID, Digest: base.Digest}
			return nil
		}
		if w.whole = why(err); w.whole == "" {
			return err
		}
		if err := w.unshare(); err != nil {
			return err
		}
	}
	l, err := w.make(memoryName)
	if err != nil {
		return err
	}
	if w.base, _, err = fold(ctx, l.file, base.layers); err != nil {
		return err
	}
	w.reached("copy")
	return nil
}

// errPieces says that a layer of several would be in too many pieces.
var errPieces = errors.New(wholePieces)

// why says why files can't be shared; empty: something has gone wrong.
func why(err error) string {
	var link *os.LinkError
	switch {
	case errors.Is(err, errPieces):
		return wholePieces
	case !errors.As(err, &link):
		return ""
	case errors.Is(link.Err, unix.ENOENT):
		return wholeGone
	case errors.Is(link.Err, unix.EXDEV):
		return wholeOther
	case errors.Is(link.Err, unix.ENOSPC), errors.Is(link.Err, unix.EDQUOT), errors.Is(link.Err, unix.EIO):
		return ""
	}
	return fmt.Sprintf("its file system doesn't link files (%v)", link.Err)
}

// share makes base's layers w's as well.
func (w *Writer) share(ctx context.Context, base *Snapshot) error {
	apart, err := w.unlinkable(base.layers)
	if err != nil {
		return err
	}
	if len(base.layers)+1 > maxLayers {
		apart = max(apart, len(base.layers)-1)
	}
	if apart == len(base.layers) {
		return &os.LinkError{Op: "link", Old: base.layers[apart-1].file.Name(), New: w.dir.Name(), Err: unix.ENOENT}
	}
	below := 1 // the layer to come is the uppermost
	if apart > 0 {
		l, err := w.make(layerName(below))
		if err != nil {
			return err
		}
		c, p, err := fold(ctx, l.file, base.layers[:apart])
		if err != nil {
			return err
		}
		if len(p) > maxPieces {
			return errPieces
		}
		l.is(c)
		w.layers = append(w.layers, &layer{large: l, pages: p})
		w.reached("fold")
		below++
	}
	for i, l := range base.layers[apart:] {
		if err := l.link(w.dir, layerName(below+i)); err != nil {
			return err
		}
		w.layers = append(w.layers, l)
		w.reached("link " + layerName(below+i))
	}
	return nil
}

// unlinkable returns how many layers, from the uppermost, have one among them that no
// directory has any more.
func (w *Writer) unlinkable(layers []*layer) (n int, err error) {
	for i, l := range layers {
		s, err := fstat(l.file)
		if err != nil {
			return 0, err
		}
		if s.Nlink == 0 {
			n = i + 1
		}
	}
	return n, nil
}

// unshare removes what share has made.
func (w *Writer) unshare() (err error) {
	for _, l := range w.files {
		err = errors.Join(err, l.Close())
	}
	w.files, w.layers = nil, nil
	return errors.Join(err, w.empty())
}

// empty removes the files that are there.
func (w *Writer) empty() error {
	names, err := os.ReadDir(w.dir.Name())
	for _, e := range names {
		err = errors.Join(err, RemoveAll(w.dir.path(e.Name())))
	}
	return err
}
