// Package procstat tells processes apart that had the same number one after the
// other: by when they began.
package procstat

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// startField is the place of starttime among the fields of proc(5)'s
// /proc/pid/stat that come after the name, of which state, field 3, is the
// first.
const startField = 22 - 3

// StartTicks returns when a process began, in clock ticks since the host was
// booted. If there is no such process, the error wraps fs.ErrNotExist.
func StartTicks(pid int) (uint64, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("start of a process: %w", err)
	}
	ticks, err := parse(b)
	if err != nil {
		return 0, fmt.Errorf("start of a process: %s: %w", path, err)
	}
	return ticks, nil
}

// parse takes the line apart. The name, field 2, is whatever the process chose:
// it may have spaces and parentheses, and only the last one of these isn't its
// own.
func parse(line []byte) (uint64, error) {
	end := bytes.LastIndexByte(line, ')')
	if end < 0 {
		return 0, errors.New("no name in it")
	}
	fields := bytes.Fields(line[end+1:])
	if len(fields) <= startField {
		return 0, fmt.Errorf("%d fields after the name, want more than %d", len(fields), startField)
	}
	return strconv.ParseUint(string(fields[startField]), 10, 64)
}
