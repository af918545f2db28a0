package main

import "testing"

func TestNumbers(t *testing.T) {
	for _, text := range []string{"", "0", "1,10,100"} {
		n := numbers{3}
		if err := n.Set(text); err != nil || n.String() != text {
			t.Errorf("%q: %v, %v", text, n, err)
		}
	}
	for _, text := range []string{"x", "1,", "-1", "2,1", "1,1", "1 2"} {
		if err := new(numbers).Set(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
