package hostprofile

import (
	"os"
	"strings"
	"testing"
)

// TestHardwareAddsNothing: guest hardening stays on where guests run natively.
func TestHardwareAddsNothing(t *testing.T) {
	var p Profile
	if !p.Hardware() || p.Cmdline != "" || p.MaskKVMFeatures != 0 || p.CompleteInstructions {
		t.Errorf("%+v changes something on hardware", p)
	}
}

func TestPVM(t *testing.T) {
	p := pvm()
	if p.Hardware() || !p.CompleteInstructions {
		t.Errorf("%+v", p)
	}
	seen := map[string]bool{}
	for _, word := range strings.Fields(p.Cmdline) {
		name, _, _ := strings.Cut(word, "=")
		if seen[name] {
			t.Errorf("%s is there twice: the kernel takes one of them", name)
		}
		seen[name] = true
	}
}

func TestDetect(t *testing.T) {
	_, err := os.Stat(pvmModule)
	if got, want := Detect().Hardware(), err != nil; got != want {
		t.Errorf("Hardware() = %v, want %v", got, want)
	}
}
