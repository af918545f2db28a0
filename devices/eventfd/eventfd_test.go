package eventfd

import (
	"errors"
	"os"
	"testing"
	"time"
)

func TestSignalWakesWait(t *testing.T) {
	e := newTest(t)
	time.AfterFunc(time.Millisecond, func() {
		if err := e.Signal(); err != nil {
			t.Error(err)
		}
	})
	if n, err := e.Wait(); n != 1 || err != nil {
		t.Errorf("Wait = %d, %v; want 1", n, err)
	}
}

func TestWaitClears(t *testing.T) {
	e := newTest(t)
	for range 3 {
		if err := e.Signal(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := e.Wait(); n != 3 || err != nil {
		t.Errorf("Wait = %d, %v; want 3", n, err)
	}
}

func TestCloseEndsWait(t *testing.T) {
	e := newTest(t)
	time.AfterFunc(time.Millisecond, func() { e.Close() })
	if _, err := e.Wait(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Wait = %v, want os.ErrClosed", err)
	}
	if err := e.Signal(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Signal = %v, want os.ErrClosed", err)
	}
}

func newTest(t testing.TB) *EventFD {
	e, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func BenchmarkSignal(b *testing.B) {
	e := newTest(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Signal(); err != nil {
			b.Fatal(err)
		}
	}
}
