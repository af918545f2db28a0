package node

import "testing"

func TestHostname(t *testing.T) {
	for name, want := range map[string]string{"web-1": "web-1", "web_1": "web-1", "+15aa01932dbe": "15aa01932dbe"} {
		if got := hostname(name); got != want {
			t.Errorf("%s is called %s, want %s", name, got, want)
		}
	}
}
