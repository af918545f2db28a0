package labels

import (
	"strings"
	"testing"
)

func TestSelector(t *testing.T) {
	l := map[string]string{"app": "web", "tier": "", "team/x": "a.b"}
	for text, want := range map[string]bool{
		"": true, " ": true, "app=web": true, "app==web": true, "app = web , tier=": true, "team/x=a.b": true,
		"app": true, "!absent": true, "app!=db": true, "absent!=x": true, "app,tier,!absent": true,
		"app=db": false, "!app": false, "absent": false, "app!=web": false, "app,absent": false, "absent=": false,
	} {
		s, err := Parse(text)
		if err != nil || s.Matches(l) != want {
			t.Errorf("%q: %v, %v; want %v", text, s.Matches(l), err, want)
		}
	}
}

func TestBadSelectors(t *testing.T) {
	for _, text := range []string{",", "=x", "a=b c", "a,,b", "!", "!=x", strings.Repeat("a,", 100) + "a", strings.Repeat("k", 64), "a=" + strings.Repeat("v", 64), "a>b", "a" + strings.Repeat(" ", 20_000)} {
		if s, err := Parse(text); err == nil {
			t.Errorf("%.20q is taken: %v", text, s)
		}
	}
}

func TestCheck(t *testing.T) {
	many := map[string]string{}
	for i := range 65 {
		many[strings.Repeat("k", i+1)] = ""
	}
	for _, l := range []map[string]string{{"": ""}, {"a b": ""}, {"a": "b\n"}, many} {
		if Check(l) == nil {
			t.Errorf("%.50v is taken", l)
		}
	}
}
