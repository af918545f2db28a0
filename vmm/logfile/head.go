package logfile

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

const (
	headPrefix = "part "
	maxHead    = 128 // bytes of its line, and more
)

// appendHead adds the record that a part begins with.
func appendHead(b []byte, t time.Time, number uint64) []byte {
	head := strconv.AppendUint([]byte(headPrefix), number, 10)
	return appendRecord(b, t, Own, append(head, '\n'))
}

// headNumber returns the number of the part that r begins.
func headNumber(r *Record) (number uint64, ok bool) {
	digits, ok := bytes.CutPrefix(bytes.TrimSuffix(r.Data, []byte("\n")), []byte(headPrefix))
	if !ok || r.Label != Own {
		return 0, false
	}
	number, err := strconv.ParseUint(string(digits), 10, 64)
	return number, err == nil
}

// partNumber reads a part's number out of its head: 0 if it has none.
func partNumber(f *os.File) uint64 {
	b := make([]byte, maxHead)
	n, _ := f.ReadAt(b, 0) // what can't be read has no head
	end := bytes.IndexByte(b[:n], '\n')
	if end < 0 {
		return 0
	}
	r, ok := parse(b[:end+1], Own)
	if !ok {
		return 0
	}
	number, _ := headNumber(&r)
	return number
}
