package virtio

import "testing"

func TestCondition(t *testing.T) {
	var c condition
	check := func(when string, broken, shown bool) {
		t.Helper()
		if c.broken() != broken || c.shown() != shown {
			t.Errorf("%s: broken %v, shown %v; want %v, %v", when, c.broken(), c.shown(), broken, shown)
		}
	}
	check("new", false, false)
	told := 0
	if !c.breakDown(func() { told++; check("while told", true, false) }) {
		t.Error("the first failure doesn't count")
	}
	check("broken", true, true)
	if c.breakDown(func() { told++ }) {
		t.Error("a second failure counts")
	}
	c.reset()
	check("after a reset", false, false)
	if c.breakDown(func() { told++; c.reset() }) {
		t.Error("a failure counts in the life after it")
	}
	check("reset while told", false, false)
	if told != 2 {
		t.Errorf("told %d times, want 2", told)
	}
}
