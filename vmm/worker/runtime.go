package worker

import (
	"log/slog"
	"runtime"
	"time"

	"github.com/bulkhead-vm/bulkhead/vmm/slack"
)

// tuneRuntime prepares the Go runtime for a machine of so many vCPUs.
//
// A vCPU in the guest is a thread in a system call, and keeps one of the
// runtime's processors for up to 10 ms, until the monitor takes it away.
// Devices must not wait for that: there are as many more processors.
func tuneRuntime(cpus int, timerSlack time.Duration, log *slog.Logger) {
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + cpus)
	if timerSlack == 0 {
		return
	}
	if err := slack.Set(timerSlack); err != nil {
		log.Info("timers are as they were: exits cost more", "error", err)
	}
}
