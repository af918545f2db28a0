package progress

import (
	"strings"
	"testing"
	"time"
)

func TestLine(t *testing.T) {
	tests := []struct {
		name string
		tty  bool
		want string
	}{
		{"plain", false, "compile, 0s\ncompile 30 of about 50 files, 12s\nnote\ncompile 60 of about 60 files, 24s\n"},
		{"terminal", true, "\r\x1b[Kcompile, 0s" +
			"\r\x1b[Kcompile 10 of about 50 files, 4s\r\x1b[Kcompile 20 of about 50 files, 8s\r\x1b[Kcompile 30 of about 50 files, 12s" +
			"\r\x1b[Knote\n" +
			"\r\x1b[Kcompile 40 of about 50 files, 16s\r\x1b[Kcompile 50 of about 50 files, 20s\r\x1b[Kcompile 60 of about 60 files, 24s\r\x1b[K"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			now := time.Unix(0, 0)
			l := newLine(&out, tt.tty, func() time.Time { return now })
			l.Stage("compile")
			for i := 1; i <= 6; i++ {
				now = now.Add(4 * time.Second)
				l.Step(10*i, 50)
				if i == 3 {
					l.Say("note")
				}
			}
			l.Done()
			if out.String() != tt.want {
				t.Errorf("got  %q\nwant %q", out.String(), tt.want)
			}
		})
	}
}
