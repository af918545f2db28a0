package clip

import (
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"6.1.0", "6.1.0"},
		{"12345678", "12345678"},
		{"123456789", "12345..."},
		{"1234üüü", "1234..."},
		{"a\xffb", "a?b"},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff", "?..."},
	} {
		if got := Text(c.in, 8); got != c.want || !utf8.ValidString(got) || len(got) > 8 {
			t.Errorf("Text(%q) = %q, not %q", c.in, got, c.want)
		}
	}
}
