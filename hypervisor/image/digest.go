package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// Content tells an image by what is in it.
type Content struct {
	Digest string // "sha256:" and 64 digits
	Bytes  int64
	// Stamp is the file's, and changes when it does.
	Stamp string
}

// Stamp returns that of the file at path, without reading it.
func Stamp(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return stamp(info), nil
}

// Digest reads the file, or disk, at path. It gives up when ctx is done, and fails if
// the file changes meanwhile.
func Digest(ctx context.Context, path string) (c Content, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return c, err
	}
	if m := info.Mode(); !m.IsRegular() && m.Type() != os.ModeDevice {
		return c, fmt.Errorf("%s is a %s, and no image", path, kind(m))
	}
	f, err := os.Open(path)
	if err != nil {
		return c, err
	}
	defer f.Close()
	sum := sha256.New()
	c.Stamp = stamp(info)
	if c.Bytes, err = io.Copy(sum, &untilDone{ctx, f}); err != nil {
		return c, fmt.Errorf("read %s: %w", path, err)
	}
	c.Digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	now, err := Stamp(path)
	if err == nil && now != c.Stamp {
		err = errors.New("it was written to meanwhile: try again when nobody does so")
	}
	if err != nil {
		return c, fmt.Errorf("read %s: %w", path, err)
	}
	return c, nil
}

// untilDone reads until its context is done.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}
