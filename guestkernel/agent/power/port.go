package power

import (
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// wordPort and PORT,VALUE on a kernel's command line say what to write where on
// a machine without ACPI. A kernel without our patches would halt instead.
const wordPort = "poweroff_port="

// offPort finds the word; the last one counts.
func offPort(commandLine string) (port uint16, value uint8, ok bool) {
	for _, word := range strings.Fields(commandLine) {
		rest, found := strings.CutPrefix(word, wordPort)
		if !found {
			continue
		}
		first, second, _ := strings.Cut(rest, ",")
		p, err1 := strconv.ParseUint(first, 0, 16)
		v, err2 := strconv.ParseUint(second, 0, 8)
		port, value, ok = uint16(p), uint8(v), err1 == nil && err2 == nil
	}
	return port, value, ok
}

func writePort(port uint16, value uint8) {
	runtime.LockOSThread() // the permission is the thread's
	defer runtime.UnlockOSThread()
	if unix.Ioperm(int(port), 1, 1) == nil {
		outb(port, value)
	}
}

// outb writes a byte to an I/O port that ioperm gave this thread.
func outb(port uint16, value uint8)
