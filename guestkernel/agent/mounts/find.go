package mounts

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/plainfile"
)

// find returns the device and type of the file system on a disk: on the disk
// itself, or on the first partition that holds a root file system. It may
// mount partitions on the directory try.
func find(device, fsType, try string) (string, string, error) {
	f, err := probe(device)
	if err != nil {
		return "", "", err
	}
	if f.partitions == nil {
		if fsType == "" {
			fsType = f.fsType
		}
		if fsType == "" {
			return "", "", fail.Errorf(fail.Invalid, "%s holds neither ext4, erofs, squashfs nor partitions: is it the right disk?", device)
		}
		return device, fsType, nil
	}
	names, err := partitionNames(device, f.partitions)
	if err != nil {
		return "", "", err
	}
	for _, name := range names {
		p, err := probe(name)
		if err != nil || p.fsType == "" || fsType != "" && p.fsType != fsType {
			continue
		}
		if holdsRoot(name, p.fsType, try) {
			return name, p.fsType, nil
		}
	}
	return "", "", fail.Errorf(fail.Invalid, "none of the %d partitions of %s holds a root file system", len(names), device)
}

func holdsRoot(device, fsType, try string) bool {
	a := assembly{dir: filepath.Dir(try)}
	defer a.undo()
	if a.add(device, filepath.Base(try), fsType, unix.MS_RDONLY, "") != nil {
		return false
	}
	for _, name := range []string{"bin", "usr", "sbin", "etc"} {
		if plainfile.IsDir(filepath.Join(try, name)) {
			return true
		}
	}
	return false
}

// partitionNames returns the device nodes of a disk's partitions. A kernel
// that hasn't looked at the table is told of it.
func partitionNames(device string, table []partition) ([]string, error) {
	names, err := knownPartitions(device)
	if err != nil || len(names) > 0 {
		return names, err
	}
	f, err := os.OpenFile(device, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for _, p := range table {
		if err := addPartition(int(f.Fd()), p); err != nil {
			return nil, fmt.Errorf("partition %d of %s: %w", p.number, device, err)
		}
	}
	return knownPartitions(device)
}

// knownPartitions returns those that the kernel knows, in their order.
func knownPartitions(device string) ([]string, error) {
	var st unix.Stat_t
	if err := unix.Stat(device, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", device, err)
	}
	dir := fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	numbers := map[string]int{}
	var names []string
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name(), "partition"))
		if err != nil {
			continue // something else than a partition
		}
		name := filepath.Join("/dev", e.Name())
		if numbers[name], err = strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			names = append(names, name)
		}
	}
	sort.Slice(names, func(i, j int) bool { return numbers[names[i]] < numbers[names[j]] })
	return names, nil
}
