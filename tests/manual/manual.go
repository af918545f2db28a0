// Package manual checks manual pages that programs make of their commands.
package manual

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Check checks that each command that help lists has a page in dir, and that man
// can show every page there.
func Check(t *testing.T, root *cobra.Command, dir string) {
	t.Helper()
	eachCommand(root, func(c *cobra.Command) {
		page := strings.ReplaceAll(c.CommandPath(), " ", "-")
		if found, _ := filepath.Glob(filepath.Join(dir, page+".[0-9]")); len(found) != 1 {
			t.Errorf("%s has the pages %q", c.CommandPath(), found)
		}
	})
	pages, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, page := range pages {
		checkPage(t, page)
	}
}

func eachCommand(c *cobra.Command, do func(*cobra.Command)) {
	if c.Hidden || c.Name() == "help" {
		return
	}
	do(c)
	for _, sub := range c.Commands() {
		eachCommand(sub, do)
	}
}

// checkPage checks that a page has its sections, and that groff has nothing to say
// about it where there is groff.
func checkPage(t *testing.T, page string) {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSuffix(filepath.Base(page), filepath.Ext(page))
	for _, want := range []string{`.TH "` + strings.ToUpper(name) + `"`, "\n.SH NAME\n" + name + " ", "\n.SH SYNOPSIS\n", "\n.SH DESCRIPTION\n"} {
		if !strings.Contains(strings.ReplaceAll(string(b), `\-`, `-`), want) {
			t.Errorf("%s has no %q", name, want)
		}
	}
	groff, err := exec.LookPath("groff")
	if errors.Is(err, exec.ErrNotFound) {
		return
	}
	if out, err := exec.Command(groff, "-man", "-ww", "-Tutf8", "-z", page).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("groff, %s: %v\n%s", name, err, out)
	}
}
