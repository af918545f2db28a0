package kernel

import (
	"context"
	"fmt"
	"os/exec"

	"github.com/bulkhead-vm/bulkhead/guestkernel/cache"
)

// recipeVersion changes when the steps of the build do: what is compiled, how
// it is stripped, which files are published.
const recipeVersion = "1"

// key names the kernel by everything that goes into it.
func (r recipe) key(ctx context.Context, src source) (*cache.Key, error) {
	compiler, err := exec.CommandContext(ctx, "gcc", "-dumpfullversion").Output()
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", missing([]string{"gcc"}), err)
	}
	k := &cache.Key{}
	k.AddString("recipe", recipeVersion)
	k.AddString("source "+sourcePackage, src.version)
	k.AddString("compiler", string(compiler))
	for _, o := range r.options {
		k.AddString("option "+o.Name, o.Value)
	}
	for i, p := range r.patches {
		k.Add(fmt.Sprintf("patch %02d", i), diffOf(p.Text))
	}
	for _, e := range reproducible() {
		k.AddString("environment", e)
	}
	return k, nil
}
