// Package config holds the guest kernel's configuration: fragments, one file
// per purpose, that are merged onto the kernel's tinyconfig.
package config

import (
	"bufio"
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"regexp"
)

//go:embed *.config
var files embed.FS

// Option is one option with its value as .config has it: y, n, a number or a
// quoted string.
type Option struct {
	Name, Value string
	Where       string // file and line that ask for it
}

// Text returns the fragments, each with its name, in the order of merging.
func Text() (map[string][]byte, error) {
	names, err := fs.Glob(files, "*.config")
	if err != nil {
		return nil, err
	}
	text := map[string][]byte{}
	for _, name := range names {
		if text[name], err = files.ReadFile(name); err != nil {
			return nil, err
		}
	}
	return text, nil
}

// Options returns every option that the fragments ask for.
func Options() ([]Option, error) {
	names, err := fs.Glob(files, "*.config")
	if err != nil {
		return nil, err
	}
	var all []Option
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		options, err := Parse(name, text)
		if err != nil {
			return nil, err
		}
		all = append(all, options...)
	}
	return all, unique(all)
}

var line = regexp.MustCompile(`^CONFIG_([A-Z0-9a-z_]+)=(y|n|-?[0-9]+|0x[0-9a-f]+|"[^"]*")$`)

// Parse reads one fragment. Lines are CONFIG_NAME=value, comments or empty.
func Parse(name string, text []byte) ([]Option, error) {
	var options []Option
	s := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; s.Scan(); n++ {
		if s.Text() == "" || s.Text()[0] == '#' {
			continue
		}
		m := line.FindStringSubmatch(s.Text())
		if m == nil {
			return nil, fmt.Errorf("%s:%d: %q is not CONFIG_NAME=value", name, n, s.Text())
		}
		options = append(options, Option{Name: m[1], Value: m[2], Where: fmt.Sprintf("%s:%d", name, n)})
	}
	return options, s.Err()
}

func unique(options []Option) error {
	seen := map[string]string{}
	for _, o := range options {
		if first, dup := seen[o.Name]; dup {
			return fmt.Errorf("%s: CONFIG_%s is set at %s already", o.Where, o.Name, first)
		}
		seen[o.Name] = o.Where
	}
	return nil
}
