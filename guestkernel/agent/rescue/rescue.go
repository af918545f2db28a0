// Package rescue gives whoever sits at the machine's console a shell, for
// guests whose host doesn't call.
package rescue

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/plainfile"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/process"
)

// Shell is what runs.
const Shell = "/bin/sh"

const maxActive = 4096

// Start runs a shell on the console. The channel is closed when it has ended.
func Start(t *process.Table) (<-chan struct{}, error) {
	tty, err := openConsole()
	if err != nil {
		return nil, fmt.Errorf("rescue shell: %w", err)
	}
	defer unix.Close(tty)
	done, err := t.Adopt(func() (int, error) {
		return syscall.ForkExec(Shell, []string{Shell}, &syscall.ProcAttr{
			Dir:   "/",
			Env:   []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin:/bbin", "HOME=/", "TERM=linux"},
			Files: []uintptr{uintptr(tty), uintptr(tty), uintptr(tty)},
			Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: true},
		})
	})
	if err != nil {
		return nil, fmt.Errorf("rescue shell %s: %w", Shell, err)
	}
	return done, nil
}

// openConsole opens the terminal behind /dev/console: that itself can't
// control a session.
func openConsole() (int, error) {
	name := "console"
	if b, err := plainfile.Read("/sys/class/tty/console/active", maxActive); err == nil {
		if f := strings.Fields(string(b)); len(f) > 0 {
			name = f[len(f)-1] // /dev/console is the last
		}
	}
	return unix.Open(filepath.Join("/dev", filepath.Base(name)), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
}
