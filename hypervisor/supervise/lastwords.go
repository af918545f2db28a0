package supervise

import (
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLastWords bounds what is read of a worker's log.
const maxLastWords = 16 << 10

// lastWords returns the line of the worker's log that says most: a crash's
// first, or else the last. The worker may have put anything in the log's place:
// what is no file of its own says nothing.
func lastWords(path string) string {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, maxLastWords)
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	n, err := f.ReadAt(b, max(0, info.Size()-maxLastWords))
	if err != nil && err != io.EOF {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b[:n])), "\n")
	for _, line := range lines {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return line
		}
	}
	return lines[len(lines)-1]
}
