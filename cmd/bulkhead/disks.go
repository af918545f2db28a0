package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
)

// parseDisks reads the values of --disk.
func parseDisks(args []string) (disks []node.Disk, err error) {
	for _, arg := range args {
		d, err := parseDisk(arg)
		if err != nil {
			return nil, fmt.Errorf("--disk %q: %w", arg, err)
		}
		disks = append(disks, d)
	}
	return disks, nil
}

// parseDisk reads PATH[:OPTION[,OPTION]...]. What follows the last colon is
// part of the path if it isn't options.
func parseDisk(arg string) (node.Disk, error) {
	d := node.Disk{Path: arg}
	path, options, found := cutLast(arg, ":")
	if with, ok := diskOptions(options); found && ok {
		d = with
		d.Path = path
	} else if found && exists(path) && !exists(arg) {
		return d, fmt.Errorf("unknown option %q: use ro, direct or overlay=FILE", options)
	}
	switch {
	case d.Path == "":
		return d, errors.New("no path given: use PATH, or PATH:ro")
	case d.Overlay != "" && d.ReadOnly:
		return d, errors.New("an overlay is for writing: leave \"ro\" out, the image itself is only read")
	case d.Overlay != "" && d.Direct:
		return d, errors.New("an overlay is in the host's page cache: leave \"direct\" out")
	}
	switch _, err := os.Stat(d.Path); {
	case err == nil:
		return d, nil
	case d.ReadOnly || d.Overlay != "" || !errors.Is(err, fs.ErrNotExist):
		return d, err
	default:
		return d, fmt.Errorf("%w (make one with \"truncate -s 1G %s\")", err, d.Path)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// diskOptions reports false if one of them is unknown.
func diskOptions(s string) (d node.Disk, ok bool) {
	for option := range strings.SplitSeq(s, ",") {
		file, isOverlay := strings.CutPrefix(option, "overlay=")
		switch {
		case option == "ro":
			d.ReadOnly = true
		case option == "rw":
		case option == "direct":
			d.Direct = true
		case isOverlay && file != "":
			d.Overlay = file
		default:
			return d, false
		}
	}
	return d, true
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
