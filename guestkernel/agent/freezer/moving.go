package freezer

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/plainfile"
)

const (
	maxNamed = 3 // processes that an error names
	maxStat  = 4096
	maxDepth = 32 // of cgroups in each other
)

// moving says which processes don't stand still, as far as that can be told: a
// frozen one sleeps, too.
func (f *Freezer) moving() string {
	var found []string
	names, _ := f.root.dirs(".")
	for _, name := range names {
		found = f.search(found, name, maxDepth)
	}
	if len(found) == 0 {
		return "processes come and go"
	}
	return strings.Join(found, ", ")
}

// search adds what moves in the cgroup name and below it.
func (f *Freezer) search(found []string, name string, depth int) []string {
	if still, err := f.root.isFrozen(name); still || err != nil || depth == 0 {
		return found
	}
	pids, _ := f.root.processes(name)
	for _, pid := range pids {
		if what := describe(pid); what != "" && len(found) < maxNamed {
			found = append(found, what)
		}
	}
	below, _ := f.root.dirs(name)
	for _, b := range below {
		found = f.search(found, name+"/"+b, depth-1)
	}
	return found
}

// states are those in which a thread isn't frozen.
var states = map[byte]string{
	'D': "waits for a device or a file system",
	'R': "runs",
}

// describe says what a process does that doesn't stand still; "" if it seems to.
func describe(pid int) string {
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, t := range threads {
		b, err := plainfile.Read(fmt.Sprintf("/proc/%d/task/%s/stat", pid, t.Name()), maxStat)
		if err != nil {
			continue
		}
		if name, state := parseStat(string(b)); states[state] != "" {
			return fmt.Sprintf("process %d (%s) %s", pid, strconv.QuoteToASCII(name), states[state])
		}
	}
	return ""
}

// parseStat returns the name and the state. A name may have any characters.
func parseStat(stat string) (name string, state byte) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open || len(stat) < end+3 {
		return "", 0
	}
	return stat[open+1 : end], stat[end+2]
}
