package filesystem

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits of the kernel's.
const (
	maxLinks = 40  // that lead to one another
	maxName  = 255 // bytes
)

// resolve follows the links that p's last name leads to, for what is there to be
// replaced and not the link. What a link says needn't be there.
func resolve(p string) (string, error) {
	for range maxLinks {
		if strings.HasSuffix(p, "/") {
			return "", unix.EISDIR
		}
		if len(p)-len(directory(p)) > maxName {
			return "", unix.ENAMETOOLONG
		}
		target, err := os.Readlink(p)
		switch {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT): // no link
			return p, nil
		case err != nil:
			return "", err
		case target[0] != '/':
			target = directory(p) + target
		}
		p = target
	}
	return "", unix.ELOOP
}
