package supervise

import (
	"io"
	"os"
	"strings"
)

// maxLastWords bounds what is read of a worker's log.
const maxLastWords = 16 << 10

// lastWords returns the line of the worker's log that says most: a crash's
// first, or else the last.
func lastWords(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, maxLastWords)
	info, err := f.Stat()
	if err != nil {
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
