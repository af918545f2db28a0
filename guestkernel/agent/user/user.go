// Package user finds users and groups in a guest's own /etc/passwd and
// /etc/group.
package user

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/fail"
	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/plainfile"
)

const maxFile = 4 << 20

// User is who a process runs as.
type User struct {
	Name   string // or the number of one without a name
	UID    uint32
	GID    uint32
	Groups []uint32 // beside GID
	Home   string
}

// Lookup finds "USER", "UID", "USER:GROUP" or "UID:GID" in the files passwd
// and group of the directory etc; "" is user 0. A number needs no entry: its
// group is 0 and its home "/" then. Given a group, the user is in that alone.
func Lookup(etc, spec string) (User, error) {
	if spec == "" {
		spec = "0"
	}
	name, groupName, hasGroup := strings.Cut(spec, ":")
	u, err := findUser(etc, name)
	if err != nil {
		return User{}, err
	}
	groups, err := table(etc, "group", groupColumns)
	if err != nil {
		return User{}, err
	}
	if hasGroup {
		u.GID, err = findGroup(groups, groupName)
		return u, err
	}
	u.Groups = memberOf(groups, u)
	return u, nil
}

func findUser(etc, name string) (User, error) {
	rows, err := table(etc, "passwd", passwdColumns)
	if err != nil {
		return User{}, err
	}
	// A name comes first: names may consist of digits.
	for _, column := range []int{0, 2} {
		for _, row := range rows {
			if row[column] == name && name != "" {
				return parseUser(row)
			}
		}
	}
	uid, ok := number(name)
	if !ok {
		return User{}, fail.Errorf(fail.Invalid, "no user %q in the guest's /etc/passwd", name)
	}
	u := User{Name: name, UID: uid, Home: "/"}
	if uid == 0 {
		u.Name = "root"
	}
	return u, nil
}

func parseUser(row []string) (User, error) {
	uid, ok := number(row[2])
	gid, ok2 := number(row[3])
	if !ok || !ok2 {
		return User{}, fail.Errorf(fail.Invalid, "user %q has no valid numbers in the guest's /etc/passwd", row[0])
	}
	home := row[5]
	if !strings.HasPrefix(home, "/") {
		home = "/"
	}
	return User{Name: row[0], UID: uid, GID: gid, Home: home}, nil
}

func findGroup(rows [][]string, name string) (uint32, error) {
	for _, row := range rows {
		if gid, ok := number(row[2]); ok && row[0] == name && name != "" {
			return gid, nil
		}
	}
	if gid, ok := number(name); ok {
		return gid, nil
	}
	return 0, fail.Errorf(fail.Invalid, "no group %q in the guest's /etc/group", name)
}

func memberOf(rows [][]string, u User) []uint32 {
	var groups []uint32
	for _, row := range rows {
		gid, ok := number(row[2])
		if ok && gid != u.GID && slices.Contains(strings.Split(row[3], ","), u.Name) && !slices.Contains(groups, gid) {
			groups = append(groups, gid)
		}
	}
	return groups
}

// Columns of the files.
const (
	passwdColumns = 7
	groupColumns  = 4
)

// table returns the rows of a file that have all columns: none if there is no
// file.
func table(etc, file string, columns int) (rows [][]string, err error) {
	b, err := plainfile.Read(filepath.Join(etc, file), maxFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fail.Errorf(fail.Internal, "the guest's users: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		row := strings.Split(strings.TrimSpace(line), ":")
		if len(row) >= columns && !strings.HasPrefix(line, "#") {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// number parses an ID. The largest is the kernel's "no change".
func number(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n != 1<<32-1
}
