package logfile

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

var testTime = time.Date(2026, 11, 27, 18, 47, 51, 123456789, time.UTC)

// TestForm holds the form to what is documented, to the byte.
func TestForm(t *testing.T) {
	for _, tt := range []struct{ data, want string }{
		{"hello\n", "2026-11-27T18:47:51.123456789Z stdout F hello\n"},
		{"$ ", "2026-11-27T18:47:51.123456789Z stdout P $ \n"},
		{"\n", "2026-11-27T18:47:51.123456789Z stdout F \n"},
		{"a\x00\xff\r\n", "2026-11-27T18:47:51.123456789Z stdout F a\x00\xff\r\n"},
	} {
		line := appendRecord(nil, testTime.In(time.FixedZone("", 3600)), "stdout", []byte(tt.data))
		if string(line) != tt.want {
			t.Errorf("%q is %q, want %q", tt.data, line, tt.want)
		}
		r, ok := parse(line, "")
		if !ok || !r.Time.Equal(testTime) || r.Label != "stdout" || string(r.Data) != tt.data {
			t.Errorf("%q is read as %+v, %v", line, r, ok)
		}
	}
	if line := appendRecord(nil, time.Unix(0, 0), "l", []byte("x")); !bytes.HasPrefix(line, []byte("1970-01-01T00:00:00.000000000Z l P")) {
		t.Errorf("a time without fractions: %q", line)
	}
}

func TestNoRecords(t *testing.T) {
	const at = "2026-11-27T18:47:51.123456789Z"
	for _, line := range []string{
		"\n", at + "\n", at + " \n", at + " stdout\n", at + " stdout F\n", at + " stdout \n", at + " stdout P \n",
		at + " stdout X x\n", at + " stdout FF x\n", at + " stdout Fx\n", at + "  F x\n", at + " a\tb F x\n",
		at + " " + strings.Repeat("l", maxLabel+1) + " F x\n", at + "x stdout F x\n",
		"2026-11-27T18:47:51.12345678Z stdout F x\n", "2026-11-27T18:47:51.1234567Z  stdout F x\n",
		"2026-13-27T18:47:51.123456789Z stdout F x\n", "2026-11-27T18:47:51.123+01:00  stdout F x\n",
		"2026-11-27T18:47:51,123456789Z stdout F x\n", at[1:] + " stdout F x\n", "\x00\x00" + at + " stdout F x\n",
	} {
		if r, ok := parse([]byte(line), ""); ok {
			t.Errorf("%q is read as %+v", line, r)
		}
	}
}

func TestCut(t *testing.T) {
	full := strings.Repeat("x", maxContent)
	for _, tt := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{"a", []string{"a"}},
		{"\n\na\nb", []string{"\n", "\n", "a\n", "b"}},
		{full, []string{full}},
		{full + "\n", []string{full + "\n"}},
		{full + "y\n", []string{full, "y\n"}},
		{full + full + "\n\n", []string{full, full + "\n", "\n"}},
	} {
		var got []string
		for piece, rest := cut([]byte(tt.in)); len(piece) > 0; piece, rest = cut(rest) {
			got = append(got, string(piece))
			if line := appendRecord(nil, testTime, strings.Repeat("l", maxLabel), piece); len(line) > maxLine {
				t.Errorf("a line of %d bytes, more than %d", len(line), maxLine)
			}
		}
		if strings.Join(got, "|") != strings.Join(tt.want, "|") {
			t.Errorf("%d bytes are cut into %d pieces, want %d", len(tt.in), len(got), len(tt.want))
		}
	}
}

func TestLabels(t *testing.T) {
	for label, good := range map[string]bool{
		"stdout": true, "a": true, strings.Repeat("l", maxLabel): true,
		"": false, "a b": false, "a\n": false, "ä": false, Own: false, strings.Repeat("l", maxLabel+1): false,
	} {
		if err := CheckLabel(label); (err == nil) != good {
			t.Errorf("%q: %v", label, err)
		}
	}
}

func TestHead(t *testing.T) {
	for _, n := range []uint64{1, 1<<64 - 1} {
		line := appendHead(nil, testTime, n)
		r, ok := parse(line, "")
		if got, head := headNumber(&r); !ok || !head || got != n || len(line) > maxHead {
			t.Errorf("the head of part %d is read as %d: %q", n, got, line)
		}
	}
	for _, line := range []string{" stdout F part 1\n", " log F part\n", " log F part x\n", " log F 3 lines are lost\n"} {
		r, _ := parse([]byte(testTime.Format(timeLayout)+line), "")
		if _, head := headNumber(&r); head {
			t.Errorf("%q is a head", line)
		}
	}
}
