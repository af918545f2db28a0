package renew

import (
	"crypto/rand"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
)

func TestCheckEntropy(t *testing.T) {
	for size, ok := range map[int]bool{0: true, 1: false, 31: false, 32: true, 4096: true, 4097: false, 10 << 20: false} {
		if err := CheckEntropy(make([]byte, size)); (err == nil) != ok || err != nil && fail.KindOf(err) != fail.Invalid {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestEntropy does it for real: more of it does no harm.
func TestEntropy(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if err := Entropy(nil); err != nil {
		t.Error(err)
	}
	for _, size := range []int{MinEntropy, MaxEntropy} {
		b := make([]byte, size)
		rand.Read(b)
		if err := Entropy(b); err != nil {
			t.Error(err)
		}
	}
}

// TestTime never sets a clock, which is everybody's here.
func TestTime(t *testing.T) {
	if err := Time(0); err != nil {
		t.Error(err)
	}
	if err := CheckTime(-1); fail.KindOf(err) != fail.Invalid {
		t.Errorf("CheckTime = %v", err)
	}
	for _, ok := range []int64{0, 1, time.Now().UnixNano(), 1<<63 - 1} {
		if err := CheckTime(ok); err != nil {
			t.Errorf("%d: %v", ok, err)
		}
	}
	before := time.Now()
	err := Time(1) // less than this machine has been up
	if fail.KindOf(err) != fail.Invalid && !errors.Is(err, unix.EPERM) {
		t.Errorf("Time = %v", err)
	}
	if d := time.Since(before.Round(0)); d < 0 || d > time.Minute {
		t.Fatalf("the clock was moved by %v", d)
	}
}
