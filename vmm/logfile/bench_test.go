package logfile

import (
	"context"
	"io"
	"strings"
	"testing"
)

// BenchmarkWrite writes lines as fast as the file takes them.
func BenchmarkWrite(b *testing.B) {
	s := openStream(b, openWriter(b, Config{Path: newLog(b)}), "out")
	line := []byte(strings.Repeat("x", 79) + "\n")
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		s.Write(line)
	}
}

// BenchmarkRead reads them.
func BenchmarkRead(b *testing.B) {
	path := newLog(b)
	put(b, Config{Path: path}, strings.Repeat(strings.Repeat("x", 79)+"\n", 100_000))
	r := openReader(b, path, Options{})
	b.SetBytes(80)
	b.ReportAllocs()
	for b.Loop() {
		_, err := r.Next(context.Background())
		if err == io.EOF {
			r.Close()
			r, err = NewReader(path, Options{})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
