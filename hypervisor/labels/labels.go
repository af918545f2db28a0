// Package labels is words that clients give sandboxes, and how to select by
// them.
package labels

import (
	"fmt"
	"regexp"
	"strings"
)

const (
	maxLabels       = 64
	maxRequirements = 64
	maxSelector     = 16 << 10 // bytes
)

var (
	keyForm   = regexp.MustCompile(`^[a-zA-Z0-9_./-]{1,63}$`)
	valueForm = regexp.MustCompile(`^[a-zA-Z0-9_./-]{0,63}$`)
)

// Check says what is wrong with labels.
func Check(l map[string]string) error {
	if len(l) > maxLabels {
		return fmt.Errorf("%d labels, %d is the most", len(l), maxLabels)
	}
	for k, v := range l {
		if err := check(k, v); err != nil {
			return err
		}
	}
	return nil
}

func check(key, value string) error {
	const form = "letters, digits, '_', '.', '-' and '/'"
	if !keyForm.MatchString(key) {
		return fmt.Errorf("key %.100q is not 1 to 63 %s", key, form)
	}
	if !valueForm.MatchString(value) {
		return fmt.Errorf("value %.100q of %s is not up to 63 %s", value, key, form)
	}
	return nil
}

// Selector selects by labels. The zero value selects everything.
type Selector []requirement

// requirement is one term of a selector.
type requirement struct {
	key   string
	value *string // nil: any
	not   bool
}

// Parse reads a selector: "key=value", "key!=value", "key" and "!key", joined by
// commas.
func Parse(text string) (Selector, error) {
	if len(text) > maxSelector {
		return nil, fmt.Errorf("a selector of %d bytes, %d is the most", len(text), maxSelector)
	}
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	if n := strings.Count(text, ",") + 1; n > maxRequirements {
		return nil, fmt.Errorf("%d terms in a selector, %d is the most", n, maxRequirements)
	}
	var s Selector
	for term := range strings.SplitSeq(text, ",") {
		r, err := parse(strings.TrimSpace(term))
		if err != nil {
			return nil, fmt.Errorf("selector %.200q: %w", text, err)
		}
		s = append(s, r)
	}
	return s, nil
}

func parse(term string) (r requirement, err error) {
	key, value, hasValue := strings.Cut(term, "=")
	switch {
	case hasValue:
		key, r.not = strings.CutSuffix(key, "!")
		value = strings.TrimPrefix(value, "=") // "==" is "="
		value = strings.TrimSpace(value)
		r.value = &value
	default:
		key, r.not = strings.CutPrefix(key, "!")
	}
	r.key = strings.TrimSpace(key)
	return r, check(r.key, value)
}

// Matches reports whether labels are selected.
func (s Selector) Matches(l map[string]string) bool {
	for _, r := range s {
		value, has := l[r.key]
		if (has && (r.value == nil || *r.value == value)) == r.not {
			return false
		}
	}
	return true
}
