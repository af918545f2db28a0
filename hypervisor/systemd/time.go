package systemd

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// monotonic is what a Type=notify-reload service says when it reloads; sd_notify(3).
func monotonic() string {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // can't fail
	return fmt.Sprintf("MONOTONIC_USEC=%d", ts.Nano()/1000)
}
