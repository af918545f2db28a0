package fail

import (
	"errors"
	"syscall"
)

// Files gives the error of an operation on a file, which says what operation and
// which file, the kind of the system call's error in it. nil stays nil, and a
// kind stays as it is.
func Files(err error) error {
	var errno syscall.Errno
	if err == nil || KindOf(err) != Internal || !errors.As(err, &errno) {
		return err
	}
	return Errorf(ofFiles(errno), "%w", err)
}

// ofFiles returns the kind of an error of the file system.
func ofFiles(errno syscall.Errno) Kind {
	switch errno {
	case syscall.ENOENT:
		return NotFound
	case syscall.EEXIST:
		return Exists
	case syscall.EACCES, syscall.EPERM, syscall.EROFS:
		return Denied
	case syscall.ENOTDIR, syscall.EISDIR, syscall.ENOTEMPTY, syscall.EBUSY, syscall.ETXTBSY, syscall.EXDEV,
		syscall.EOPNOTSUPP, syscall.ENXIO, syscall.ENODEV:
		return Untimely
	case syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EMLINK, syscall.EFBIG:
		return Exhausted
	case syscall.EINVAL, syscall.ENAMETOOLONG, syscall.ELOOP, syscall.EOVERFLOW:
		return Invalid
	}
	return Internal
}
