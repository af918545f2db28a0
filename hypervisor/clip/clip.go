// Package clip bounds what others say where it is passed on: in the state, in
// errors and in logs. A guest, a worker or a client may say megabytes.
package clip

import (
	"strings"
	"unicode/utf8"
)

const more = "..."

// Text returns s, or what fits of it into most bytes with a sign that there was
// more. It is UTF-8 in any case.
func Text(s string, most int) string {
	if len(s) <= most {
		return strings.ToValidUTF8(s, "?")
	}
	end := max(most-len(more), 0)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.ToValidUTF8(s[:end], "?") + more
}
