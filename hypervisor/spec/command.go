package spec

import (
	"fmt"
	"path"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"

	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

// CheckCommand returns what is wrong with a command; field is its path in the
// request.
func CheckCommand(field string, c *bulkheadv1.Command) []fault.Violation {
	check := new(checker)
	check.command(field, c, maxText)
	return check.violations
}

// command checks one with up to most bytes of arguments and environment.
func (c *checker) command(field string, cmd *bulkheadv1.Command, most int) {
	if len(cmd.GetArgs()) == 0 || cmd.GetArgs()[0] == "" {
		c.wrong(field+".args", "no command is given")
	}
	size := 0
	for name, list := range map[string][]string{"args": cmd.GetArgs(), "env": cmd.GetEnv()} {
		if len(list) > maxStrings {
			c.wrong(field+"."+name, "%d of them, %d is the most", len(list), maxStrings)
			continue
		}
		for i, s := range list {
			size += len(s)
			if strings.ContainsRune(s, 0) {
				c.wrong(fmt.Sprintf("%s.%s[%d]", field, name, i), "it has a NUL byte")
			}
			if name == "env" && strings.IndexByte(s, '=') < 1 {
				c.wrong(fmt.Sprintf("%s.env[%d]", field, i), "%.100q is not NAME=VALUE", s)
			}
		}
	}
	if size > most {
		c.wrong(field, "%d bytes of arguments and environment, %d is the most", size, most)
	}
	if dir := cmd.GetWorkingDir(); dir != "" {
		c.guestPath(field+".working_dir", dir)
	}
	if n := len(cmd.GetUser()); n > 256 || strings.ContainsRune(cmd.GetUser(), 0) {
		c.wrong(field+".user", "not a user's name of up to 256 bytes")
	}
	if t := cmd.GetTerminal(); t != nil {
		c.terminal(field+".terminal", t)
	}
}

// CheckTerminal returns what is wrong with a terminal's size.
func CheckTerminal(field string, t *bulkheadv1.TerminalSize) []fault.Violation {
	check := new(checker)
	check.terminal(field, t)
	return check.violations
}

func (c *checker) terminal(field string, t *bulkheadv1.TerminalSize) {
	if t.GetRows() > 0xffff || t.GetColumns() > 0xffff {
		c.wrong(field, "%d rows and %d columns, 65535 is the most", t.GetRows(), t.GetColumns())
	}
}

// CheckGuestPath returns what is wrong with a path in a guest.
func CheckGuestPath(field, p string) []fault.Violation {
	check := new(checker)
	check.guestPath(field, p)
	return check.violations
}

func (c *checker) guestPath(field, p string) {
	switch {
	case p == "":
		c.wrong(field, "no path is given")
	case !path.IsAbs(p):
		c.wrong(field, "%.100q is not an absolute path", p)
	case len(p) > maxPath:
		c.wrong(field, "%d bytes, %d is the most", len(p), maxPath)
	case strings.ContainsRune(p, 0):
		c.wrong(field, "it has a NUL byte")
	}
}

// CheckDuration returns what is wrong with a length of time, which is between 0
// and most, or not there at all.
func CheckDuration(field string, d *durationpb.Duration, most time.Duration) []fault.Violation {
	check := new(checker)
	if d != nil && (d.CheckValid() != nil || d.AsDuration() < 0 || d.AsDuration() > most) {
		check.wrong(field, "it is not a time between 0 and %v", most)
	}
	return check.violations
}

// duration checks one that must be positive if it is there.
func (c *checker) duration(field string, d *durationpb.Duration) {
	if d != nil && (d.CheckValid() != nil || d.AsDuration() <= 0 || d.AsDuration() > maxTime) {
		c.wrong(field, "it is not a time between 0 and 10 years")
	}
}

// backoff checks how long a restart waits.
func (c *checker) backoff(field string, d *durationpb.Duration) {
	if d != nil && (d.CheckValid() != nil || d.AsDuration() < minBackoff || d.AsDuration() > maxTime) {
		c.wrong(field, "it is not a time between %v and 10 years", minBackoff)
	}
}

func clone(s *bulkheadv1.SandboxSpec) *bulkheadv1.SandboxSpec {
	if s == nil {
		return &bulkheadv1.SandboxSpec{}
	}
	return proto.CloneOf(s)
}
