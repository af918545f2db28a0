package vsock

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// What a guest and the host processes that talk to it may take of the host.
const (
	// maxConns bounds the connections of one guest, those that are being made
	// or given up included. Each takes one descriptor.
	maxConns = 4096
	// minConns is how few are of no use.
	minConns = 64
	// spareConns of them only routes with ports of their own may use: whoever
	// uses the default route can't keep the host from the guest's agent.
	spareConns = 32
	// spareFiles is how many descriptors are left to the rest of the process.
	spareFiles = 256

	// maxHeld bounds the bytes held for host processes that don't read, all
	// connections together.
	maxHeld = 64 << 20

	// The kernel holds bytes for host processes, too; it doubles these sizes.
	smallSendBuffer = 16 << 10
	largeSendBuffer = 128 << 10
)

// connLimit returns how many connections the process's limit of open files
// leaves room for.
func connLimit() (int, error) {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return 0, fmt.Errorf("vsock: limit of open files: %w", err)
	}
	return connsWithin(files.Cur)
}

func connsWithin(files uint64) (int, error) {
	if files < spareFiles+minConns {
		return 0, fmt.Errorf("vsock: %d open files are allowed, which leaves too few for connections: allow %d or more (ulimit -n)",
			files, spareFiles+maxConns)
	}
	return int(min(files-spareFiles, maxConns)), nil
}
