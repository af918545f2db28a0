package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
)

func newDoctor() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say whether this host can run guests, and how to mend what is missing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			checks, err := node.CheckHost(node.Config{})
			if err != nil {
				return err
			}
			show := showChecks
			if asJSON {
				show = showChecksJSON
			}
			if err := show(cmd.OutOrStdout(), checks); err != nil {
				return err
			}
			return verdict(checks)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the checks as JSON")
	return cmd
}

func showChecks(out io.Writer, checks []node.Check) error {
	for _, c := range checks {
		mark := "ok     "
		if !c.OK {
			mark = "MISSING"
		}
		if _, err := fmt.Fprintf(out, "%s  %-22s %s\n", mark, c.Name, c.Detail); err != nil {
			return err
		}
		if c.Remedy != "" {
			if _, err := fmt.Fprintf(out, "         %-22s mend with: %s\n", "", c.Remedy); err != nil {
				return err
			}
		}
	}
	return nil
}

func showChecksJSON(out io.Writer, checks []node.Check) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(checks)
}

// verdict fails if guests can't run here.
func verdict(checks []node.Check) error {
	for _, c := range checks {
		if c.Required && !c.OK {
			return errors.New("this host can't run guests yet: see MISSING above")
		}
	}
	return nil
}
