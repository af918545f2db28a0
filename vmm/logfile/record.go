package logfile

import (
	"bytes"
	"fmt"
	"time"
)

// Own is the label of what a log says by itself: that lines were lost, or that its
// writer has ended. No stream has it.
const Own = "log"

// endText is what a Writer writes last, in a record of endSize bytes.
const (
	endText = "end\n"
	endSize = int64(len(timeLayout) + len(" "+Own+" F "+endText))
)

const (
	// maxContent is the most of a line that one record has.
	maxContent = 16 << 10
	maxLabel   = 32

	timeLayout = "2006-01-02T15:04:05.000000000Z"
	maxLine    = len(timeLayout) + 1 + maxLabel + len(" F ") + maxContent + 1
)

// Record is a line of a stream's, or a piece of one.
type Record struct {
	Time  time.Time
	Label string
	// Data has its newline, if it had one. It isn't empty.
	Data []byte
	// Gap says that records between the one before and this one are lost to
	// the reader.
	Gap bool
}

// End reports whether the record is the last of a Writer that was closed: all that
// it had to write was before. One that was killed has none.
func (r *Record) End() bool { return r.Label == Own && string(r.Data) == endText }

// whole reports whether the record ends a line.
func (r *Record) whole() bool { return bytes.HasSuffix(r.Data, []byte("\n")) }

// CheckLabel says what is wrong with a label: it is to be told from what follows it.
func CheckLabel(label string) error {
	if label == "" || len(label) > maxLabel || label == Own || !isWord(label) {
		return fmt.Errorf("log label %q: it is a word of 1 to %d letters, other than %q", label, maxLabel, Own)
	}
	return nil
}

func isWord(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// cut returns the first piece of p that makes a record, and the rest.
func cut(p []byte) (piece, rest []byte) {
	n := min(len(p), maxContent)
	if i := bytes.IndexByte(p[:n], '\n'); i >= 0 {
		n = i + 1
	} else if n < len(p) && p[n] == '\n' {
		n++ // the newline isn't content
	}
	return p[:n], p[n:]
}

// appendRecord adds the line of a record to b. data is as Record has it.
func appendRecord(b []byte, t time.Time, label string, data []byte) []byte {
	b = t.UTC().AppendFormat(b, timeLayout)
	b = append(b, ' ')
	b = append(b, label...)
	if bytes.HasSuffix(data, []byte("\n")) {
		b = append(b, " F "...)
		return append(b, data...)
	}
	b = append(b, " P "...)
	b = append(b, data...)
	return append(b, '\n')
}

// parse takes a line with its newline apart. The record's data is the line's;
// its label is the one given if that is the same, which saves making another.
func parse(line []byte, label string) (r Record, ok bool) {
	if len(line) < len(timeLayout)+len(" L F \n") || line[len(timeLayout)] != ' ' {
		return r, false
	}
	if r.Time, ok = parseTime(line[:len(timeLayout)]); !ok {
		return r, false
	}
	rest := line[len(timeLayout)+1:]
	end := bytes.IndexByte(rest, ' ')
	if end < 1 || end > maxLabel || len(rest) < end+len(" F \n") || rest[end+2] != ' ' {
		return r, false
	}
	if r.Label = label; string(rest[:end]) != label {
		r.Label = string(rest[:end])
	}
	switch r.Data = rest[end+len(" F "):]; rest[end+1] {
	case 'F':
		return r, isWord(r.Label)
	case 'P':
		r.Data = bytes.TrimSuffix(r.Data, []byte("\n"))
		return r, isWord(r.Label) && len(r.Data) > 0
	}
	return r, false
}

// parseTime takes what timeLayout makes, of all the forms that there are.
func parseTime(b []byte) (t time.Time, ok bool) {
	if b[len("2006-01-02T15:04:05")] != '.' || b[len(b)-1] != 'Z' {
		return t, false
	}
	err := t.UnmarshalText(b)
	return t, err == nil
}
