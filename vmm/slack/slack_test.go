package slack

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
)

func TestSet(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	runtime.LockOSThread()
	if err := Set(3 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	b, err := exec.Command("cat", "/proc/self/timerslack_ns").Output()
	if err != nil || string(b) != "3000000\n" {
		t.Errorf("a child's slack is %q, %v", b, err)
	}
}
