package main

import (
	"encoding/json"
	"strings"
	"testing"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// TestJSONHasZeros: a script that asks for the exit code of a success gets one.
func TestJSONHasZeros(t *testing.T) {
	var out strings.Builder
	box := &bulkheadv1.Sandbox{Name: "box", Status: &bulkheadv1.SandboxStatus{Exit: &bulkheadv1.SandboxExit{}}}
	if err := printJSON(&out, box, false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `"exit_code":0`) {
		t.Error(&out)
	}
}

// TestJSONEscapes: what a guest says moves no cursor, and is what it said.
func TestJSONEscapes(t *testing.T) {
	const said = "a\x7f\u0080\u009b2Jä\u2028\x1b<&>\U0001f600"
	for _, indent := range []bool{false, true} {
		var out strings.Builder
		if err := printJSON(&out, &bulkheadv1.SandboxExit{Message: said}, indent); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(out.String(), "\x7f\u0080\u009b\x1b") || !strings.Contains(out.String(), `\u009b2J`) {
			t.Errorf("%q", &out)
		}
		var got struct{ Message string }
		if err := json.Unmarshal([]byte(out.String()), &got); err != nil || got.Message != said {
			t.Errorf("%q, %v", got.Message, err)
		}
	}
}
