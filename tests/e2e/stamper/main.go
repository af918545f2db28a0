// Stamper writes blocks to the disks that its arguments name, one after another
// and each to every disk, and says of each that it is written only when every
// disk has flushed it.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/bulkhead-vm/bulkhead/tests/e2e/stamp"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "stamper:", err)
		os.Exit(1)
	}
}

func run(paths []string) error {
	var disks []*os.File
	for _, path := range paths {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		disks = append(disks, f)
	}
	for n := 1; ; n++ {
		for _, f := range disks {
			_, err := f.WriteAt(stamp.Block(n), int64(n)*stamp.Size)
			if err := errors.Join(err, f.Sync()); err != nil {
				return err
			}
		}
		fmt.Println("written", n)
	}
}
