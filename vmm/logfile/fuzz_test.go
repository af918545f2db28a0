package logfile

import (
	"bytes"
	"context"
	"io"
	"testing"
)

// FuzzReader reads what anybody may have written to the parts of a log. Whatever
// it is, reading ends, and each record is a line of it, in its place. The last
// lines are the last of them all.
func FuzzReader(f *testing.F) {
	at := testTime.Format(timeLayout)
	head := string(appendHead(nil, testTime, 7))
	f.Add([]byte(head+at+" out F a\n"+at+" out P $ \n"), []byte(head+at+" err F b\n"), 1)
	f.Add([]byte(at+" out F \n\n"+at+" out F torn"), []byte("\x00\x00\n"+at+" o P x\n"), 2)
	f.Add(bytes.Repeat([]byte("x"), 2*bufferSize), []byte(at+" out F "+string(bytes.Repeat([]byte("y"), maxContent))+"\n"), 3)
	f.Add([]byte{}, []byte(head), -1)
	f.Fuzz(func(t *testing.T, first, second []byte, n int) {
		path := newLog(t)
		writeFile(t, older(path), string(first))
		writeFile(t, path, string(second))
		all := readAll(t, path, Options{})
		rest := append(bytes.Clone(first), second...)
		if i := bytes.LastIndexByte(first, '\n') + 1; i < len(first) { // an unfinished line isn't continued by the next part
			rest = append(bytes.Clone(first[:i]), second...)
		}
		for _, line := range all {
			i := bytes.Index(rest, line)
			if i < 0 {
				t.Fatalf("record %q isn't in the log, or not in its place", line)
			}
			rest = rest[i+len(line):]
		}
		last := readAll(t, path, Options{Tail: n})
		if len(last) > len(all) {
			t.Fatalf("the last %d lines are %d records of %d", n, len(last), len(all))
		}
		for i, line := range last {
			if !bytes.Equal(line, all[len(all)-len(last)+i]) {
				t.Fatalf("the last lines aren't the last: %q", line)
			}
		}
	})
}

// readAll returns the records of a log as lines.
func readAll(t *testing.T, path string, o Options) (lines [][]byte) {
	r := openReader(t, path, o)
	for {
		record, err := r.Next(context.Background())
		if err == io.EOF {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, appendRecord(nil, record.Time, record.Label, record.Data))
	}
}
