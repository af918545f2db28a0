// Package version says which version a program of this module is.
package version

import "runtime/debug"

// release is set by the linker in releases, and never after that:
//
//	-X github.com/bulkhead-vm/bulkhead/vmm/version.release=VERSION
var release = ""

// Text returns the version of the running program: that of the release, or what
// the Go toolchain knows of the module it was built from.
func Text() string {
	module := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		module = info.Main.Version
	}
	return choose(release, module)
}

func choose(release, module string) string {
	switch {
	case release != "":
		return release
	case module != "" && module != "(devel)":
		return module
	}
	return "development build"
}
