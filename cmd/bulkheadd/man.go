package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newMan is for whoever packages or installs the program; help doesn't list it.
func newMan() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIRECTORY",
		Short:  "Write manual pages for the daemon and its configuration",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return manPages(c.Root(), args[0])
		},
	}
}

// manPages writes the pages to a directory, which it makes. Their date is
// $SOURCE_DATE_EPOCH, if it is set.
func manPages(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write the manual pages: %w", err)
	}
	root.DisableAutoGenTag = true
	if err := doc.GenManTree(root, &doc.GenManHeader{Section: "8", Source: "Bulkhead", Manual: "Bulkhead Manual"}, dir); err != nil {
		return fmt.Errorf("write the manual pages: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bulkheadd.toml.5"), []byte(configPage()), 0o644); err != nil {
		return fmt.Errorf("write the manual pages: %w", err)
	}
	return nil
}

// configPage is the page of the configuration: the default one, which says what
// each key is.
func configPage() string {
	escape := strings.NewReplacer(`\`, `\e`, `-`, `\-`, "\n.", "\n\\&.", "\n'", "\n\\&'")
	return `.TH "BULKHEADD.TOML" "5" "" "Bulkhead" "Bulkhead Manual"
.SH NAME
bulkheadd.toml \- configuration of bulkheadd
.SH SYNOPSIS
/etc/bulkhead/bulkheadd.toml
.SH DESCRIPTION
The file is TOML. It needn't be there, and no key need be in it; one that the
daemon doesn't know is an error. This is the file with every key and its default,
as "bulkheadd config default" prints it:
.PP
.nf
` + escape.Replace(defaults) + `.fi
.SH SEE ALSO
\fBbulkheadd(8)\fP
`
}
