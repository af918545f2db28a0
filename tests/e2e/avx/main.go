// Avx fills the sixteen YMM registers with a pattern made from its argument
// and looks again and again, across many system calls and context switches,
// whether they still hold it.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// cycle loads the registers from pattern, gives the processor away with one
// system call, and stores them to got.
//
//go:noescape
func cycle(pattern, got *[512]byte)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "avx:", err)
		os.Exit(1)
	}
}

func run() error {
	seed, err := strconv.Atoi(os.Args[1])
	if err != nil {
		return err
	}
	limit, err := time.ParseDuration(os.Args[2])
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	var pattern, got [512]byte
	for i := range pattern {
		pattern[i] = byte(seed*31 + i)
	}
	rounds := 0
	for start := time.Now(); time.Since(start) < limit; rounds++ {
		cycle(&pattern, &got)
		if got != pattern {
			return fmt.Errorf("round %d: registers changed", rounds)
		}
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	fmt.Printf("%d: registers kept over %d rounds, %d context switches\n", seed, rounds, usage.Nvcsw+usage.Nivcsw)
	return nil
}
