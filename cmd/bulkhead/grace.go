package main

import (
	"errors"
	"strconv"
	"time"
)

// defaultGrace is how long a command has from SIGTERM to SIGKILL.
const defaultGrace = 10 * time.Second

// graceTime is a flag's length of time. As docker has it, a bare number is seconds.
type graceTime time.Duration

// Set implements pflag.Value.
func (g *graceTime) Set(s string) error {
	if seconds, err := strconv.ParseUint(s, 10, 31); err == nil {
		*g = graceTime(time.Duration(seconds) * time.Second)
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return errors.New("give seconds, or a time such as 1m30s")
	}
	*g = graceTime(d)
	return nil
}

func (g *graceTime) String() string { return time.Duration(*g).String() }

// Type implements pflag.Value.
func (g *graceTime) Type() string { return "duration" }
