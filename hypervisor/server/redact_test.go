package server

import (
	"slices"
	"testing"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

func TestWithoutValues(t *testing.T) {
	before := &bulkheadv1.Sandbox{Name: "box", Spec: &bulkheadv1.SandboxSpec{
		Command: &bulkheadv1.Command{Args: []string{"serve"}, Env: []string{"TOKEN=s3cret", "EMPTY=", "ODD=a=b"}},
	}}
	after := withoutValues(before)
	if want := []string{"TOKEN=***", "EMPTY=***", "ODD=***"}; !slices.Equal(after.GetSpec().GetCommand().GetEnv(), want) {
		t.Errorf("%q, want %q", after.GetSpec().GetCommand().GetEnv(), want)
	}
	if before.GetSpec().GetCommand().GetEnv()[0] != "TOKEN=s3cret" || after.GetName() != "box" || after.GetSpec().GetCommand().GetArgs()[0] != "serve" {
		t.Errorf("%v became %v", before, after)
	}
	if plain := (&bulkheadv1.Sandbox{Name: "plain"}); withoutValues(plain) != plain {
		t.Error("a sandbox without an environment is another one")
	}
}
