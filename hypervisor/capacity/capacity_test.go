package capacity

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

func TestLedger(t *testing.T) {
	l := NewLedger(Resources{CPUs: 4, Memory: 1000})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(l.Reserve("a", Resources{3, 100}))
	must(l.Reserve("a", Resources{3, 100})) // has it
	var short *ShortageError
	if err := l.Reserve("b", Resources{2, 1}); !errors.As(err, &short) || short.Free != (Resources{1, 900}) {
		t.Errorf("more CPUs than there are: %v", err)
	}
	if err := l.Reserve("b", Resources{1, 901}); !errors.As(err, &short) {
		t.Errorf("more memory than there is: %v", err)
	}
	must(l.Reserve("b", Resources{1, 900}))
	l.Take("c", Resources{8, 8})
	if _, given := l.Totals(); given != (Resources{12, 1008}) {
		t.Errorf("given %v", given)
	}
	if err := l.Reserve("d", Resources{0, 1}); !errors.As(err, &short) || short.Free != (Resources{}) {
		t.Errorf("less than nothing is free: %v", err)
	}
	for _, tt := range []struct {
		want   Resources
		others []string
		fits   bool
	}{
		{Resources{0, 1}, nil, false},
		{Resources{0, 1}, []string{"a", "never"}, false}, // of twelve CPUs nine are left, of which there are four
		{Resources{0, 100}, []string{"c", "a"}, true},
		{Resources{3, 101}, []string{"c", "a"}, false},
		{Resources{4, 1000}, []string{"a", "b", "c"}, true},
		{Resources{5, 1}, []string{"a", "b", "c"}, false},
	} {
		if got := l.FitsWithout(tt.want, tt.others); got != tt.fits {
			t.Errorf("%v without %v: %v", tt.want, tt.others, got)
		}
	}
	for _, name := range []string{"a", "b", "c", "c", "never"} {
		l.Release(name)
	}
	if _, given := l.Totals(); given != (Resources{}) {
		t.Errorf("given %v when nobody has anything", given)
	}
	l.SetTotal(Resources{1, 1})
	if err := l.Reserve("e", Resources{1, 2}); !errors.As(err, &short) {
		t.Errorf("more than the smaller node has: %v", err)
	}
}

// TestNeverTooMuch has many ask for the same at once.
func TestNeverTooMuch(t *testing.T) {
	l := NewLedger(Resources{CPUs: 10, Memory: 100})
	var got atomic.Int32
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if l.Reserve(fmt.Sprint(i), Resources{1, 1}) == nil {
				got.Add(1)
			}
		})
	}
	all.Wait()
	if got.Load() != 10 {
		t.Errorf("%d got a CPU of 10", got.Load())
	}
}

func TestHost(t *testing.T) {
	h, err := Host()
	if err != nil || h.CPUs < 1 || h.Memory < 32<<20 {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := memTotal([]byte("MemFree: 1 kB\n")); err == nil {
		t.Error("no total, no error")
	}
}

func TestAllocatable(t *testing.T) {
	host := Resources{CPUs: 8, Memory: 1000}
	for _, tt := range []struct {
		p    Policy
		want Resources
	}{
		{Policy{}, Resources{32, 1000}},
		{Policy{Reserved: Resources{1, 100}, Overcommit: Overcommit{1, 1.5}}, Resources{7, 1350}},
		{Policy{Reserved: Resources{9, 2000}}, Resources{0, 0}},
	} {
		if got := tt.p.Allocatable(host); got != tt.want {
			t.Errorf("%+v: %+v, want %+v", tt.p, got, tt.want)
		}
	}
}
