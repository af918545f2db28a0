package config

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Write writes options in the form that the kernel's own tools read.
func Write(w io.Writer, options []Option) error {
	for _, o := range options {
		line := "CONFIG_" + o.Name + "=" + o.Value
		if o.Value == "n" {
			line = "# CONFIG_" + o.Name + " is not set"
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// Verify compares a finished .config with the options asked for. The error
// names each option that was dropped or changed on the way.
func Verify(dotConfig []byte, want []Option) error {
	have := map[string]string{}
	s := bufio.NewScanner(bytes.NewReader(dotConfig))
	for s.Scan() {
		if name, value, ok := strings.Cut(strings.TrimPrefix(s.Text(), "CONFIG_"), "="); ok && name != s.Text() {
			have[name] = value
		}
	}
	if err := s.Err(); err != nil {
		return err
	}
	var errs []error
	for _, o := range want {
		got, ok := have[o.Name]
		if !ok {
			got = "n"
		}
		if got != o.Value {
			errs = append(errs, fmt.Errorf("%s asks for CONFIG_%s=%s, the kernel's configuration has %s (a dependency isn't met, or another option selects it)",
				o.Where, o.Name, o.Value, got))
		}
	}
	return errors.Join(errs...)
}

// CheckKnown reports options that don't exist in the kernel: a misspelt name
// with the value n would pass Verify. known has the name of every symbol.
func CheckKnown(want []Option, known map[string]bool) error {
	var errs []error
	for _, o := range want {
		if !known[o.Name] {
			errs = append(errs, fmt.Errorf("%s: this kernel has no option CONFIG_%s", o.Where, o.Name))
		}
	}
	return errors.Join(errs...)
}
