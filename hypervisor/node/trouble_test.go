package node

import (
	"strings"
	"testing"
	"unicode/utf8"

	"go.uber.org/zap"
)

// TestTalkativeTrouble has a worker say more than a list of pools may carry, and no text.
func TestTalkativeTrouble(t *testing.T) {
	p := &pool{log: zap.NewNop()}
	p.failed("\xff"+strings.Repeat("words ", 1<<20), false)
	if text := p.trouble.text; len(text) > maxMessage || !utf8.ValidString(text) || !strings.Contains(text, "words") {
		t.Errorf("%d bytes, UTF-8: %v", len(text), utf8.ValidString(text))
	}
}
