package archive

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

// What archive/tar can't write are files with holes. Their form is that of GNU tar:
// https://www.gnu.org/software/tar/manual/html_section/Sparse-Formats.html, "PAX
// Format, Version 1.0".

const (
	blockSize = 512
	// maxOctal is the largest size that a header's own field takes.
	maxOctal = 1<<33 - 1
	// maxHeaderName is how long a name in a header may be.
	maxHeaderName = 100
)

// writeMember writes a file to a tar archive, as name.
func writeMember(ctx context.Context, w io.Writer, name string, f *os.File, modified time.Time) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	data, err := extents(f, size)
	if err != nil {
		return err
	}
	m := &member{name: name, modified: modified, stored: size}
	var holes []byte
	if size > 0 && (len(data) != 1 || data[0] != extent{0, size}) {
		holes = holeMap(data, size)
		m.name = "GNUSparseFile.0/" + name
		m.record("GNU.sparse.major", "1")
		m.record("GNU.sparse.minor", "0")
		m.record("GNU.sparse.name", name)
		m.record("GNU.sparse.realsize", strconv.FormatInt(size, 10))
		m.stored = int64(len(holes))
		for _, e := range data {
			m.stored += e.size
		}
	} else {
		data = []extent{{0, size}}
	}
	if _, err := w.Write(append(m.headers(), holes...)); err != nil {
		return err
	}
	for _, e := range data {
		n, err := io.Copy(withContext(ctx, w), io.NewSectionReader(f, e.at, e.size))
		if err != nil {
			return err
		}
		if n != e.size {
			return fmt.Errorf("%s has become shorter: %w", f.Name(), io.ErrUnexpectedEOF)
		}
	}
	_, err = w.Write(make([]byte, padding(m.stored)))
	return err
}

// endOfArchive is what a tar archive ends with.
func endOfArchive() []byte { return make([]byte, 2*blockSize) }

// holeMap says where the data is that follows it.
func holeMap(data []extent, size int64) []byte {
	if n := len(data); n == 0 || data[n-1].at+data[n-1].size < size {
		data = append(data[:n:n], extent{size, 0}) // as GNU tar ends a hole
	}
	b := fmt.Appendf(nil, "%d\n", len(data))
	for _, e := range data {
		b = fmt.Appendf(b, "%d\n%d\n", e.at, e.size)
	}
	return append(b, make([]byte, padding(int64(len(b))))...)
}

// member is one in an archive.
type member struct {
	name     string
	modified time.Time
	stored   int64 // bytes that follow the headers
	records  []byte
}

// record adds a PAX record, whose length counts its own digits.
func (m *member) record(key, value string) {
	rest := len(key) + len(value) + len(" =\n")
	size := rest + len(strconv.Itoa(rest))
	if n := rest + len(strconv.Itoa(size)); n != size {
		size = n
	}
	m.records = fmt.Appendf(m.records, "%d %s=%s\n", size, key, value)
}

// headers returns what comes before the content.
func (m *member) headers() (b []byte) {
	if m.stored > maxOctal {
		m.record("size", strconv.FormatInt(m.stored, 10))
	}
	if len(m.name) > maxHeaderName && len(m.records) == 0 {
		m.record("path", m.name)
	}
	if len(m.records) > 0 {
		b = m.header("PaxHeaders.0/"+m.name, 'x', int64(len(m.records)))
		b = append(b, m.records...)
		b = append(b, make([]byte, padding(int64(len(m.records))))...)
	}
	return append(b, m.header(m.name, '0', m.stored)...)
}

// header is a block of the ustar format.
func (m *member) header(name string, kind byte, size int64) []byte {
	b := make([]byte, blockSize)
	octal := func(at, digits int, n int64) { copy(b[at:], fmt.Sprintf("%0*o", digits, n)) }
	copy(b, name[:min(len(name), maxHeaderName)])
	octal(100, 7, 0o600) // mode
	octal(108, 7, 0)     // user
	octal(116, 7, 0)     // group
	octal(124, 11, min(size, maxOctal))
	octal(136, 11, max(m.modified.Unix(), 0))
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	copy(b[148:], "        ") // the sum's own field counts as spaces
	sum := int64(0)
	for _, c := range b {
		sum += int64(c)
	}
	octal(148, 6, sum)
	b[154] = 0
	return b
}

func padding(size int64) int64 { return -size & (blockSize - 1) }

// withContext returns a writer that fails when ctx is done.
func withContext(ctx context.Context, w io.Writer) io.Writer { return contextWriter{ctx, w} }

type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w contextWriter) Write(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	return w.w.Write(p)
}
