package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// sourcePackage is the Debian package that the kernel is built from.
const sourcePackage = "linux-source-6.1"

// tarballPath is where the source package puts its tarball.
const tarballPath = "/usr/src/" + sourcePackage + ".tar.xz"

// Packages returns the Debian packages that a build needs.
func Packages() []string {
	return []string{
		sourcePackage,
		"gcc", "make", "flex", "bison", "bc", "libelf-dev",
		"patch", "tar", "xz-utils", "lz4",
	}
}

// source is the kernel source as a package brought it.
type source struct {
	version string // of the package
	tarball string
}

func findSource(ctx context.Context) (source, error) {
	out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f=${db:Status-Status} ${Version}", sourcePackage).Output()
	if errors.Is(err, exec.ErrNotFound) {
		return source{}, fmt.Errorf("the guest kernel is built from Debian's package %s, and dpkg-query is not here: build on Debian: %w", sourcePackage, err)
	}
	version, installed := strings.CutPrefix(string(out), "installed ")
	if err != nil || !installed {
		return source{}, missing([]string{sourcePackage})
	}
	if _, err := os.Stat(tarballPath); err != nil {
		return source{}, fmt.Errorf("package %s is installed, its file is gone (apt-get install --reinstall %s): %w", sourcePackage, sourcePackage, err)
	}
	return source{version: version, tarball: tarballPath}, nil
}

// checkPackages returns an error with the remedy when a package is missing.
func checkPackages(ctx context.Context) error {
	want := Packages()
	args := append([]string{"-W", "-f=${Package} ${db:Status-Status}\n"}, want...)
	out, err := exec.CommandContext(ctx, "dpkg-query", args...).Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // it exits 1 for an unknown package
		return fmt.Errorf("list the installed packages: %w", err)
	}
	if lacking := lacking(want, string(out)); len(lacking) > 0 {
		return missing(lacking)
	}
	return nil
}

func lacking(want []string, dpkgOutput string) []string {
	installed := map[string]bool{}
	for line := range strings.Lines(dpkgOutput) {
		if name, ok := strings.CutSuffix(line, " installed\n"); ok {
			installed[name] = true
		}
	}
	var lacking []string
	for _, name := range want {
		if !installed[name] {
			lacking = append(lacking, name)
		}
	}
	return lacking
}

func missing(packages []string) error {
	return fmt.Errorf("to build the guest kernel: apt-get install %s", strings.Join(packages, " "))
}
