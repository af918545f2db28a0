package main

import (
	"fmt"
	"strconv"
	"strings"
)

// numbers is a flag: numbers with commas between them, in their order. None leaves
// a part out.
type numbers []int

// String implements flag.Value.
func (n numbers) String() string {
	words := make([]string, len(n))
	for i, v := range n {
		words[i] = strconv.Itoa(v)
	}
	return strings.Join(words, ",")
}

// Set implements flag.Value.
func (n *numbers) Set(text string) error {
	*n = nil
	if text == "" {
		return nil
	}
	for word := range strings.SplitSeq(text, ",") {
		v, err := strconv.Atoi(word)
		if err != nil || v < 0 || len(*n) > 0 && v <= (*n)[len(*n)-1] {
			return fmt.Errorf("%q: give numbers that grow, such as 1,10,100", text)
		}
		*n = append(*n, v)
	}
	return nil
}
