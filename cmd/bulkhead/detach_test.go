package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestParseKeys(t *testing.T) {
	for given, want := range map[string]string{"": "", "ctrl-p,ctrl-q": "\x10\x11", "a": "a", "ctrl-@,ctrl-_,x": "\x00\x1fx", "ctrl-[": "\x1b"} {
		if got, err := parseKeys(given); string(got) != want || err != nil {
			t.Errorf("%q: %q, %v", given, got, err)
		}
	}
	for _, bad := range []string{",", "ctrl-", "ctrl-P", "ctrl-1", "escape", "ä"} {
		if keys, err := parseKeys(bad); err == nil {
			t.Errorf("%q: %q", bad, keys)
		}
	}
}

func TestDetachReader(t *testing.T) {
	tests := []struct {
		name, typed, passed string
		left                bool
	}{
		{"nothing", "", "", false},
		{"text", "echo hi\n", "echo hi\n", false},
		{"the keys", "x\x10\x11y", "x", true},
		{"the first alone", "\x10x", "\x10x", false},
		{"the first, and the end", "x\x10", "x\x10", false},
		{"the first twice", "\x10\x10\x11", "\x10", true},
		{"the second alone", "\x11\x10", "\x11\x10", false},
	}
	for _, tt := range tests {
		for how, from := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "key by key": iotest.OneByteReader} {
			got, err := io.ReadAll(&detachReader{from: from(strings.NewReader(tt.typed)), keys: []byte{0x10, 0x11}})
			if string(got) != tt.passed || errors.Is(err, errDetached) != tt.left || !tt.left && err != nil {
				t.Errorf("%s, %s: %q, %v", tt.name, how, got, err)
			}
		}
	}
}
