package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// errDetached is the end of what is typed for a command: its user has left.
var errDetached = errors.New("detached")

// parseKeys reads keys as docker has them: characters and ctrl-KEY, with commas
// between.
func parseKeys(s string) (keys []byte, err error) {
	if s == "" {
		return nil, nil
	}
	for _, key := range strings.Split(s, ",") {
		control, ok := strings.CutPrefix(key, "ctrl-")
		switch {
		case len(key) == 1:
			keys = append(keys, key[0])
		case ok && len(control) == 1 && (control[0] >= 'a' && control[0] <= 'z' || strings.Contains(`@[\]^_`, control)):
			keys = append(keys, control[0]&0x1f)
		default:
			return nil, fmt.Errorf("--detach-keys %q: %q is neither a character nor such as ctrl-p", s, key)
		}
	}
	return keys, nil
}

// detachReader is what is typed, up to the keys by which a user leaves. It holds
// the first ones back until the next key tells what they were for.
type detachReader struct {
	from io.Reader
	keys []byte // not empty
	held int    // how many of them came last
	// ready was typed, and err follows it.
	ready []byte
	err   error
}

// Read implements io.Reader. It fails with errDetached after the keys.
func (d *detachReader) Read(p []byte) (int, error) {
	for buf := make([]byte, len(p)); len(d.ready) == 0; {
		if d.err != nil {
			return 0, d.err
		}
		n, err := d.from.Read(buf)
		if d.typed(buf[:n]); err != nil && d.err == nil {
			d.ready, d.held, d.err = append(d.ready, d.keys[:d.held]...), 0, err
		}
	}
	n := copy(p, d.ready)
	d.ready = d.ready[n:]
	return n, nil
}

func (d *detachReader) typed(text []byte) {
	for _, b := range text {
		if d.held > 0 && b != d.keys[d.held] {
			d.ready, d.held = append(d.ready, d.keys[:d.held]...), 0
		}
		if b != d.keys[d.held] {
			d.ready = append(d.ready, b)
			continue
		}
		if d.held++; d.held == len(d.keys) {
			d.err = errDetached
			return
		}
	}
}
