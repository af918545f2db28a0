// Package initramfs builds what a guest has beside its kernel: the initramfs,
// which holds the agent, and the userland, a small root file system for
// sandboxes that bring none.
//
// The same input makes the same bytes, wherever and whenever it is built.
package initramfs

import "io"

// Write writes the initramfs: init as /init, and what a program needs before
// it has mounted anything. The content of /init begins at a multiple of
// Alignment, so that a kernel that finds the archive so aligned in memory can
// use the pages as they are, and map many of them at once.
func Write(w io.Writer, init []byte) error {
	a := &archive{w: w}
	for _, dir := range []string{"dev", "mnt", "proc", "sys"} {
		a.add(entry{name: dir, mode: modeDir | 0o755})
	}
	// The kernel opens the console for the first process, and the Go runtime
	// /dev/null where there is none.
	a.add(entry{name: "dev/console", mode: modeChar | 0o600, major: 5, minor: 1})
	a.add(entry{name: "dev/null", mode: modeChar | 0o666, major: 1, minor: 3})
	a.add(entry{name: "init", mode: modeFile | 0o755, data: init, aligned: true})
	return a.close()
}
