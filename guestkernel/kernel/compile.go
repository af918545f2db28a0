package kernel

import (
	"context"
	"strconv"
	"strings"
)

// aboutFiles is how many files a build compiles, to show how far it is.
const aboutFiles = 1100

// reproducible returns the environment that keeps the time, the user and the
// machine of a build out of its result.
func reproducible() []string {
	return []string{
		"KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 2026",
		"KBUILD_BUILD_USER=bulkhead",
		"KBUILD_BUILD_HOST=guestkernel",
		"KBUILD_BUILD_VERSION=1",
		"LC_ALL=C",
		"TZ=UTC",
		"MAKEFLAGS=",
	}
}

func (t tree) compile(ctx context.Context, p Progress) error {
	done := 0
	count := func(line string) {
		if compiles(line) {
			done++
			p.Step(done, aboutFiles)
		}
	}
	return t.make(ctx, count, "-j"+strconv.Itoa(max(t.jobs, 1)), "vmlinux", "bzImage")
}

// compiles reports whether a line of make's output is about one source file.
func compiles(line string) bool {
	f := strings.Fields(line)
	if len(f) != 2 || !strings.HasPrefix(line, "  ") {
		return false
	}
	switch f[0] {
	case "CC", "AS", "HOSTCC":
		return true
	}
	return false
}

func (t tree) make(ctx context.Context, onLine func(string), args ...string) error {
	return t.run.run(ctx, command{
		dir:    t.dir,
		env:    reproducible(),
		onLine: onLine,
		args:   append([]string{"make"}, args...),
	})
}
