package node

import (
	"context"
	"io"
)

// readUntil returns a reader that fails when ctx is done, also while r waits. What it
// has begun to read then is r's owner's to end.
func readUntil(ctx context.Context, r io.Reader) io.Reader {
	u := &untilReader{ctx: ctx, read: make(chan chunk)}
	go u.pump(r)
	return u
}

type chunk struct {
	b   []byte
	err error
}

type untilReader struct {
	ctx  context.Context
	read chan chunk
	rest chunk
}

// maxChunk is how much is read at once.
const maxChunk = 256 << 10

// pump reads, into one buffer while the other is used, until ctx is done.
func (u *untilReader) pump(r io.Reader) {
	bufs := [2][]byte{make([]byte, maxChunk), make([]byte, maxChunk)}
	for i := 0; ; i = 1 - i {
		n, err := r.Read(bufs[i])
		select {
		case u.read <- chunk{bufs[i][:n], err}:
		case <-u.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (u *untilReader) Read(p []byte) (int, error) {
	for len(u.rest.b) == 0 {
		if u.rest.err != nil {
			return 0, u.rest.err
		}
		select {
		case u.rest = <-u.read:
		case <-u.ctx.Done():
			return 0, context.Cause(u.ctx)
		}
	}
	n := copy(p, u.rest.b)
	u.rest.b = u.rest.b[n:]
	return n, nil
}
