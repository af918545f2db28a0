package main

import (
	"fmt"

	"github.com/spf13/cobra"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// memoryFlags say what is behind a sandbox's memory.
type memoryFlags struct {
	backing, prefetch string
	huge              bool
}

func (m *memoryFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&m.backing, "memory-backing", "mapped", "`HOW` the memory of a sandbox that goes on from a snapshot or a template is brought in: mapped, or paged by its worker")
	f.StringVar(&m.prefetch, "prefetch", "auto", "`WHAT` is read of such memory before the guest asks for it: auto, which is what an earlier guest touched, or off")
	f.BoolVar(&m.huge, "huge-pages", false, "use memory pages of 2 MiB where the host can; with a snapshot it takes --memory-backing paged")
	for name, words := range map[string][]string{"memory-backing": {"mapped", "paged"}, "prefetch": {"auto", "off"}} {
		cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // there is such a flag
	}
}

// options turns them into what a node is asked for: nothing, if nothing was given.
func (m *memoryFlags) options() (*bulkheadv1.MemoryOptions, error) {
	o := &bulkheadv1.MemoryOptions{HugePages: m.huge}
	switch m.backing {
	case "", "mapped":
	case "paged":
		o.Backing = bulkheadv1.MemoryBacking_MEMORY_BACKING_PAGED
	default:
		return nil, fmt.Errorf("--memory-backing %q: there are mapped and paged", m.backing)
	}
	switch m.prefetch {
	case "", "auto":
	case "off":
		o.Prefetch = bulkheadv1.Prefetch_PREFETCH_OFF
	default:
		return nil, fmt.Errorf("--prefetch %q: there are auto and off", m.prefetch)
	}
	if o.Backing == 0 && o.Prefetch == 0 && !o.HugePages {
		return nil, nil
	}
	return o, nil
}
