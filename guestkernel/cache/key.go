package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
)

// Key collects the named inputs of a build. The zero value is ready to use.
type Key struct {
	inputs map[string]string // name → hash of the content
}

// Add adds an input by its content. A name given twice keeps the last content.
func (k *Key) Add(name string, content []byte) {
	sum := sha256.Sum256(content)
	k.set(name, hex.EncodeToString(sum[:]))
}

// AddString adds an input that is a short text, such as a version.
func (k *Key) AddString(name, content string) { k.Add(name, []byte(content)) }

// AddFile adds the content of a file.
func (k *Key) AddFile(name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("input %s: %w", name, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("input %s: %w", name, err)
	}
	k.set(name, hex.EncodeToString(h.Sum(nil)))
	return nil
}

// Sum returns the name of the entry that these inputs make. It doesn't depend
// on the order in which they were added.
func (k *Key) Sum() string {
	sum := sha256.Sum256([]byte(k.String()))
	return hex.EncodeToString(sum[:16])
}

// String lists the inputs, one a line: the hash of the content and the name.
func (k *Key) String() string {
	names := make([]string, 0, len(k.inputs))
	for name := range k.inputs {
		names = append(names, name)
	}
	sort.Strings(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s %q\n", k.inputs[name], name)
	}
	return b.String()
}

func (k *Key) set(name, hash string) {
	if k.inputs == nil {
		k.inputs = map[string]string{}
	}
	k.inputs[name] = hash
}
