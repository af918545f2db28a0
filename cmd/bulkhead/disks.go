package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// parseDisks reads the values of --disk. Those that a copy writes in place are made at
// paths at which nothing is.
func parseDisks(args []string, h *hostOptions, copied bool) (disks []*bulkheadv1.Disk, err error) {
	for _, arg := range args {
		d, err := parseDisk(arg, h.local())
		if err == nil && h.local() {
			err = checkDisk(d, copied)
		}
		if err == nil {
			d.Path, err = h.path(d.Path)
		}
		if err == nil {
			d.OverlayPath, err = h.path(d.OverlayPath)
		}
		if err != nil {
			return nil, fmt.Errorf("--disk %q: %w", arg, err)
		}
		disks = append(disks, d)
	}
	return disks, nil
}

// parseDisk reads PATH[:OPTION[,OPTION]...]. What follows the last colon is
// part of the path if it isn't options.
func parseDisk(arg string, here bool) (*bulkheadv1.Disk, error) {
	d := &bulkheadv1.Disk{Path: arg}
	path, options, found := cutLast(arg, ":")
	if with, ok := diskOptions(options); found && ok {
		d = with
		d.Path = path
	} else if here && found && exists(path) && !exists(arg) {
		return nil, fmt.Errorf("unknown option %q: use ro, direct, overlay or overlay=FILE", options)
	}
	overlay := d.Overlay || d.OverlayPath != ""
	switch {
	case d.Path == "":
		return nil, errors.New("no path given: use PATH, or PATH:ro")
	case overlay && d.ReadOnly:
		return nil, errors.New("an overlay is for writing: leave \"ro\" out, the image itself is only read")
	case overlay && d.Direct:
		return nil, errors.New("an overlay is in the host's page cache: leave \"direct\" out")
	}
	return d, nil
}

// checkDisk looks for a disk that is to be here.
func checkDisk(d *bulkheadv1.Disk, copied bool) error {
	info, err := os.Stat(d.GetPath())
	inPlace := !d.GetReadOnly() && !d.GetOverlay() && d.GetOverlayPath() == ""
	switch {
	case inPlace && copied && err == nil && info.Mode().IsRegular():
		return errors.New("there is a file already: name a path at which nothing is, for a copy of what was saved")
	case inPlace && copied && errors.Is(err, fs.ErrNotExist), err == nil:
		return nil
	case inPlace && errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w (make one with \"truncate -s 1G %s\")", err, d.GetPath())
	}
	return err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// diskOptions reports false if one of them is unknown.
func diskOptions(s string) (d *bulkheadv1.Disk, ok bool) {
	d = &bulkheadv1.Disk{}
	for option := range strings.SplitSeq(s, ",") {
		file, isOverlay := strings.CutPrefix(option, "overlay=")
		switch {
		case option == "ro":
			d.ReadOnly = true
		case option == "rw":
		case option == "direct":
			d.Direct = true
		case option == "overlay":
			d.Overlay = true
		case isOverlay && file != "":
			d.OverlayPath = file
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
