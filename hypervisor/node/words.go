package node

import (
	"strings"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// stateText is a state in words.
func stateText(s bulkheadv1.SandboxState) string { return words(s.String(), "SANDBOX_STATE_") }

// reasonText is an exit reason in words.
func reasonText(r bulkheadv1.ExitReason) string { return words(r.String(), "EXIT_REASON_") }

func words(name, prefix string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, prefix), "_", " "))
}
