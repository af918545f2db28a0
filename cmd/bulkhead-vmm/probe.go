package main

import (
	"encoding/json"
	"io"

	"github.com/bulkhead-vm/bulkhead/vmm/probe"
)

// printProbe prints what this host can do, as JSON.
func printProbe(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(probe.Host())
}
