package daemon

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// envConfine has this program confine itself as the service does, and become the
// one that its arguments name.
const envConfine = "BULKHEAD_TEST_CONFINE"

// serviceUnit is relative to this directory.
const serviceUnit = "../../cmd/bulkheadd/bulkheadd.service"

// confined becomes another program, if it is asked to.
func confined() {
	unit := os.Getenv(envConfine)
	if unit == "" {
		return
	}
	os.Unsetenv(envConfine)
	fmt.Fprintln(os.Stderr, "confine:", confine(unit, os.Args[1:]))
	os.Exit(1)
}

// confine does by hand what systemd does by a unit's keys: its capabilities, and
// its filter of system calls.
func confine(unit string, args []string) error {
	runtime.LockOSThread() // whose confinement it is
	keys, err := readUnit(unit)
	if err != nil {
		return err
	}
	filter, err := keys.filter()
	if err != nil {
		return err
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	if err := limit(keys["CapabilityBoundingSet"]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	return unix.Exec(path, args, os.Environ())
}

// unit is the values of a unit's keys, one of each line.
type unit map[string][]string

func readUnit(path string) (unit, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	u := unit{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok && key[0] != '#' {
			u[key] = append(u[key], value)
		}
	}
	return u, nil
}

// capabilities are the numbers of those that a unit may name here.
var capabilities = map[string]uintptr{
	"CAP_CHOWN": unix.CAP_CHOWN, "CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_SYS_NICE": unix.CAP_SYS_NICE,
}

// limit leaves this thread, and what it becomes, some capabilities.
func limit(names []string) error {
	left := map[uintptr]bool{}
	for _, name := range strings.Fields(strings.Join(names, " ")) {
		number, ok := capabilities[name]
		if !ok {
			return fmt.Errorf("%s: add its number to this test", name)
		}
		left[number] = true
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if !left[c] {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
				return err
			}
		}
	}
	return nil // root's others go when it becomes another program
}

// What a filter looks at: offsets in struct seccomp_data, of which only the lower
// halves of arguments matter here.
const (
	offNumber = 0
	offArgs   = 16
	argSize   = 8
)

const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// filter is SystemCallFilter=, RestrictAddressFamilies=, RestrictNamespaces= and
// MemoryDenyWriteExecute= in one.
func (u unit) filter() ([]unix.SockFilter, error) {
	numbers, err := callNumbers()
	if err != nil {
		return nil, err
	}
	allowed, err := u.allowed()
	if err != nil {
		return nil, err
	}
	refuse, allow := bpf.RetConstant{Val: uint32(unix.SECCOMP_RET_ERRNO | unix.EPERM)}, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: offNumber, Size: 4}}
	when := func(call uint32, then ...bpf.Instruction) {
		program = append(append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: call, SkipTrue: uint8(len(then))}), then...)
	}
	arg := func(n uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: offArgs + n*argSize, Size: 4} }
	number := bpf.LoadAbsolute{Off: offNumber, Size: 4}
	if slices.Contains(u["RestrictNamespaces"], "yes") {
		for _, call := range []uint32{unix.SYS_CLONE, unix.SYS_UNSHARE} {
			when(call, arg(0), bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: namespaces, SkipTrue: 1}, refuse, number)
		}
		when(unix.SYS_CLONE3, bpf.RetConstant{Val: uint32(unix.SECCOMP_RET_ERRNO | unix.ENOSYS)})
		when(unix.SYS_SETNS, refuse)
	}
	if slices.Contains(u["MemoryDenyWriteExecute"], "yes") {
		const both = unix.PROT_WRITE | unix.PROT_EXEC
		when(unix.SYS_MMAP, arg(2), bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: both},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: both, SkipTrue: 1}, refuse, number)
		when(unix.SYS_MPROTECT, arg(2), bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: unix.PROT_EXEC, SkipTrue: 1}, refuse, number)
	}
	families, err := u.families()
	if err != nil {
		return nil, err
	}
	then := []bpf.Instruction{arg(0)}
	for _, f := range families {
		then = append(then, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: f, SkipTrue: 1}, allow)
	}
	when(unix.SYS_SOCKET, append(then, refuse)...)
	for name := range allowed {
		if n, ok := numbers[name]; ok { // not on other architectures
			when(n, allow)
		}
	}
	return assemble(append(program, refuse))
}

func assemble(program []bpf.Instruction) (filter []unix.SockFilter, err error) {
	raw, err := bpf.Assemble(program)
	for _, i := range raw {
		filter = append(filter, unix.SockFilter{Code: i.Op, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	return filter, err
}

func (u unit) families() (numbers []uint32, err error) {
	for _, name := range strings.Fields(strings.Join(u["RestrictAddressFamilies"], " ")) {
		n, ok := map[string]uint32{"AF_UNIX": unix.AF_UNIX, "AF_INET": unix.AF_INET, "AF_INET6": unix.AF_INET6, "AF_NETLINK": unix.AF_NETLINK}[name]
		if !ok {
			return nil, fmt.Errorf("%s: add its number to this test", name)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// allowed returns the names of calls: a line adds to those before, or with a tilde
// takes away.
func (u unit) allowed() (map[string]bool, error) {
	all := map[string]bool{}
	sets := []string{"@default"}
	for _, line := range append(sets, u["SystemCallFilter"]...) {
		rest, not := strings.CutPrefix(line, "~")
		for _, name := range strings.Fields(rest) {
			if err := eachCall(name, func(call string) { all[call] = !not }); err != nil {
				return nil, err
			}
		}
	}
	for name, is := range all {
		if !is {
			delete(all, name)
		}
	}
	return all, nil
}

// eachCall calls do for a call's name, or for those of a set.
func eachCall(name string, do func(string)) error {
	if name[0] != '@' {
		do(name)
		return nil
	}
	out, err := exec.Command("systemd-analyze", "syscall-filter", "--no-pager", name).Output()
	if err != nil {
		return fmt.Errorf("systemd-analyze syscall-filter %s: %w (install it with \"make setup\")", name, err)
	}
	for line := range strings.Lines(string(out)) {
		call := strings.TrimSpace(line)
		if call == "" || call == name || call[0] == '#' {
			continue
		}
		if err := eachCall(call, do); err != nil {
			return err
		}
	}
	return nil
}

// callNumbers reads the numbers of system calls from the kernel's headers.
func callNumbers() (map[string]uint32, error) {
	const header = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
	b, err := os.ReadFile(header)
	if err != nil {
		return nil, fmt.Errorf("%w (install it with \"make setup\")", err)
	}
	numbers := map[string]uint32{}
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		if len(words) != 3 || words[0] != "#define" {
			continue
		}
		if name, ok := strings.CutPrefix(words[1], "__NR_"); ok {
			n, err := strconv.ParseUint(words[2], 10, 32)
			if err != nil {
				return nil, err
			}
			numbers[name] = uint32(n)
		}
	}
	return numbers, nil
}
